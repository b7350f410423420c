"""What is wrong for a row: other answers, untrue thoughts; and which of both is kept for the probes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping

from medical_rl.data.prompts import target
from medical_rl.parsing.response import gold, parse, read
from medical_rl.parsing.text import normalise
from medical_rl.reward_model.grading.donors import Donors
from medical_rl.rewards.terms.accuracy import right
from medical_rl.sample import Sample
from medical_rl.seeding import rank
from medical_rl.tiny.phantom_vqa import another, ask

LENT = 8  # donors whose answers are looked at
DRAWS = 16  # of another truth of a phantom
PROBED = 0.25  # share of the pairs (truth, wrong answer) that only the probes may use


def wrong_answers(sample: Sample, donors: Donors, purpose: str = "") -> list[str]:
    """Answers of the sample's kind that are not its gold one, in a fixed order.

    The other choices where there are choices, the other of yes and no; else the answers of other rows, each once.
    """
    if sample.kind == "yes_no":
        return ["no" if gold(sample) == "yes" else "yes"]
    if sample.choices:
        return [choice for choice in sample.choices if not _reads_right(choice, sample)]
    lent = [donor.answer for _, donor in zip(range(LENT), donors.of(sample, purpose), strict=False)]
    return [answer for answer in dict.fromkeys(lent) if not _reads_right(answer, sample)]


def is_probed(sample: Sample, wrong: str) -> bool:
    """True if setting `wrong` against the sample's truth is left to the probes: the same for every seed, row and direction.

    Of the pairs of classes or grades the PROBED share, at least one, is the probes'; of those of options and free answers that
    share by their names. Yes and no, and two classes, are one pair, which none keeps: see `is_one_pair`.

    >>> s = Sample(id="1", source="demo", question="?", kind="label", answer="a", choices=("a", "b", "c"))
    >>> [is_probed(dataclasses.replace(s, answer=one), other) for one, other in ("ab", "bc", "ac", "ca")]
    [False, False, True, True]
    """
    if is_one_pair(sample):
        return False
    said = _read(wrong, sample)
    pair = tuple(sorted((str(gold(sample)), wrong if said is None else said)))
    if sample.kind not in ("label", "grade") or not sample.choices:
        return rank("pair", *pair) < PROBED
    pairs = sorted(itertools.combinations(sorted(sample.choices), 2), key=lambda two: rank("pair", *two))
    return pair in pairs[: max(1, round(PROBED * len(pairs)))]


def is_one_pair(sample: Sample) -> bool:
    """True where there are two answers in all, so that training and probes share them and differ in words."""
    return sample.kind == "yes_no" or len(sample.choices) == 2


def untrue_thoughts(sample: Sample, donors: Donors, rng, purpose: str) -> Iterator[tuple[str, str]]:
    """(answer that follows, thought) of thoughts that are untrue of the sample's picture, in an order drawn for the row.

    A phantom's from its facts, changed in what is asked; another row's from donors to the same question that have a thought.
    """
    own = sample.meta.get("thought") or ""
    facts, asked = sample.meta.get("facts"), sample.meta.get("question_type")
    if facts and asked:
        drawn = (ask(asked, another(asked, facts, rng)) for _ in range(DRAWS))
        found = [(told["answer"], told["thought"]) for told in drawn]
    else:
        # what is said to another question may be true of this picture as well
        same = (
            donor
            for donor in donors.of(sample, purpose)
            if normalise(donor.question) == normalise(sample.question)
        )
        found = [(str(gold(donor)), donor.meta.get("thought") or "") for donor in same]
    return ((answer, thought) for answer, thought in dict.fromkeys(found) if thought and thought != own)


def answered(sample: Sample, answer: str, prompt: Mapping, thought: str | None = None) -> str:
    """The target text of `prompt` with `answer`, and with `thought` where one is given, in place of the sample's own."""
    meta = sample.meta if thought is None else {**sample.meta, "thought": thought}
    return target(dataclasses.replace(sample, answer=answer, meta=meta), prompt)


def is_wrong(text: str, sample: Sample) -> bool:
    """True if the response has an answer that can be read and is not the gold one."""
    answer = read(parse(text), sample)
    return answer is not None and not right(answer, sample)


def _reads_right(answer: str, sample: Sample) -> bool:
    return right(_read(answer, sample), sample)


def _read(answer: str, sample: Sample) -> str | None:
    return read(parse(f"<answer>{answer}</answer>"), sample)
