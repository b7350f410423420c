"""Grade 3: a response made incoherent by deleted phrases."""

import dataclasses
import re

from medical_rl.parsing.response import parse, read
from medical_rl.reward_model.grading.response_parts import Parts, split
from medical_rl.reward_model.grading.rewording import NEGATIONS
from medical_rl.rewards.terms.accuracy import right
from medical_rl.sample import Sample

LEAST, MOST = 0.4, 0.7  # share of the thought's words that is deleted
LONGEST = 4  # words of one deleted phrase
TRIES = 8
# What else is lost, with its share: nothing, the answer, or all from some place after the thought on.
DAMAGE = {"none": 0.5, "answer": 0.25, "end": 0.25}


def delete(text: str, sample: Sample, rng) -> str | None:
    """`text` without some phrases of its thought, often without answer or end; None if it cannot be.

    Phrases are taken from within the thought, so that what is left does not read as a shorter report. A
    negation stays: without it a sentence would be whole and false, which is another grade. A full thought
    with the right answer is never given back.
    """
    parts = split(text)
    for _ in range(TRIES):
        torn = dataclasses.replace(parts, thought=_with_holes(parts.thought, rng))
        damage = str(rng.choice(list(DAMAGE), p=list(DAMAGE.values())))
        remaining = _damaged(torn, damage, rng).rstrip()
        if remaining and remaining != text and not _is_whole(remaining, parts, sample):
            return remaining
    return None


def _is_whole(remaining: str, parts: Parts, sample: Sample) -> bool:
    return right(read(parse(remaining), sample), sample) and parts.thought.strip() in remaining


def _with_holes(thought: str, rng) -> str:
    """The thought without phrases of 1 to LONGEST words, its first and last word kept."""
    words = re.findall(r"\S+\s*", thought)
    deletable = set()
    for i, word in enumerate(words[1:-1], start=1):
        if word.strip(" \t\r\n.,;:!?()").lower() not in NEGATIONS:
            deletable.add(i)
    wanted = min(len(deletable), max(1, round(rng.uniform(LEAST, MOST) * len(words))))
    deleted: set[int] = set()
    while len(deleted) < wanted:
        start = int(rng.choice(sorted(deletable)))
        length = min(int(rng.integers(1, LONGEST + 1)), wanted - len(deleted))
        phrase = deletable.intersection(range(start, start + length))
        deleted |= phrase
        deletable -= phrase
    return "".join(word for i, word in enumerate(words) if i not in deleted)


def _damaged(parts: Parts, damage: str, rng) -> str:
    if damage == "answer":
        return dataclasses.replace(parts, answer="").text
    if damage == "end":
        end = parts.middle + parts.answer + parts.tail
        return parts.head + parts.thought + end[: int(rng.integers(len(end)))] if end else parts.text
    return parts.text
