"""Grade 3: a response made incoherent by deleted phrases."""

from __future__ import annotations

import re

from medical_rl.parsing.response import parse, read
from medical_rl.reward_model.grading.protected import NEGATIONS
from medical_rl.reward_model.grading.response_parts import Parts, split
from medical_rl.rewards.terms.accuracy import right
from medical_rl.sample import Sample

LEAST, MOST = 0.4, 0.7  # share of the thought's words that is deleted
LONGEST = 4  # words of one deleted phrase
TRIES = 8
# What else is lost, with its share: nothing, the answer, or all from some place after the thought on.
DAMAGE = {"none": 0.5, "answer": 0.25, "end": 0.25}


def delete(text: str, sample: Sample, rng) -> str | None:
    """`text` without some phrases of its thought, and often without its answer or end; None where nothing could be deleted.

    Phrases are taken from within the thought, so that what is left does not read as a shorter report. A negation stays: without
    it a sentence would be whole and false, which is another grade. A full thought with the right answer is never given back.
    """
    parts = split(text)
    for _ in range(TRIES):
        thought = _with_holes(parts.thought, rng)
        damage = str(rng.choice(list(DAMAGE), p=list(DAMAGE.values())))
        new = _damaged(
            Parts(parts.head, thought, parts.middle, parts.answer, parts.tail), damage, rng
        ).rstrip()
        if new and new != text and not _is_whole(new, parts, sample):
            return new
    return None


def _is_whole(new: str, parts: Parts, sample: Sample) -> bool:
    return right(read(parse(new), sample), sample) and parts.thought.strip() in new


def _with_holes(thought: str, rng) -> str:
    """The thought without phrases of 1 to LONGEST words, its first and last word kept."""
    words = re.findall(r"\S+\s*", thought)
    left = {i for i in range(1, len(words) - 1) if _bare(words[i]) not in NEGATIONS}
    wanted = min(len(left), max(1, round(rng.uniform(LEAST, MOST) * len(words))))
    gone: set[int] = set()
    while len(gone) < wanted:
        start = int(rng.choice(sorted(left)))
        length = min(int(rng.integers(1, LONGEST + 1)), wanted - len(gone))
        phrase = {i for i in range(start, start + length) if i in left}
        gone, left = gone | phrase, left - phrase
    return "".join(word for i, word in enumerate(words) if i not in gone)


def _damaged(parts: Parts, damage: str, rng) -> str:
    if damage == "answer":
        return Parts(parts.head, parts.thought, parts.middle, "", parts.tail).text
    if damage == "end":
        end = parts.middle + parts.answer + parts.tail
        return parts.head + parts.thought + end[: int(rng.integers(len(end)))] if end else parts.text
    return parts.text


def _bare(word: str) -> str:
    return word.strip(" \t\r\n.,;:!?()").lower()
