"""What the template generator asks of any row: its own question in other words; wrong answers and thoughts are other rows'.

The template generator: no model, no network. It asks what a row's metadata knows, and errs on purpose.

Each error is one of
    wrong         answer and rationale are of another picture: they fit each other and not this one
    unsound       the right answer, after the rationale of another
    contradicted  the right rationale, and then another answer
and is known as such in the row's meta ("is_error", "error", "truth"), which nothing but measurements may read.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medical_rl.engine.vllm.requests import Work
from medical_rl.errors import UserError, unknown
from medical_rl.loop.generators import facts
from medical_rl.loop.generators.proposals import Proposals
from medical_rl.loop.generators.triplets import KINDS, Triplet
from medical_rl.parsing.response import gold
from medical_rl.parsing.text import label_key
from medical_rl.sample import Sample

# Further ways to ask, by kind; the first way is the row's own question.
WORDINGS = {
    "label": ("Look at the image. {question}", "{question} Name the class that fits best."),
    "choice": ("Look at the image. {question}", "{question} Choose the option that fits best."),
    "grade": ("Look at the image. {question}", "{question} Give the number."),
    "yes_no": ("Look at the image. {question}", "{question} Decide yes or no."),
}
# A thought where no row has one.
THOUGHTS = {
    "label": "The image fits {answer} best.",
    "choice": "The image fits {answer} best.",
    "grade": "The findings are those of grade {answer}.",
    "yes_no": "What is asked about can {be} seen.",
}


class Bank:
    """Answers and thoughts of rows, by question: where a wrong answer or a thought that leads to it is borrowed."""

    def __init__(self, rows: Iterable[Sample]):
        self.answers: dict[str, dict[str, None]] = collections.defaultdict(dict)
        self.thoughts: dict[tuple[str, str], dict[str, None]] = collections.defaultdict(dict)
        for row in rows:
            question, answer = label_key(row.question), answer_of(row)
            self.answers[question].setdefault(answer)
            if thought := str(row.meta.get("thought") or ""):
                self.thoughts[question, answer].setdefault(thought)

    def others(self, row: Sample) -> list[str]:
        """Wrong answers to the row's question: the other choices, else what other rows answer; [] where none is known."""
        right = answer_of(row)
        if row.kind == "yes_no":
            return ["no" if right == "yes" else "yes"]
        found = [answer for answer in row.choices or self.answers[label_key(row.question)] if answer != right]
        if not found and row.kind == "grade":
            return [str(int(right) + 1)] if int(right) < 1 else [str(int(right) - 1)]
        return found

    def thought(self, row: Sample, answer: str, rng) -> str:
        """A thought that leads to `answer`: one of a row that has this answer to the same question, else a plain sentence."""
        known = list(self.thoughts.get((label_key(row.question), answer), ()))
        if known:
            return known[int(rng.integers(len(known)))]
        return THOUGHTS[row.kind].format(answer=answer, be="be" if answer == "yes" else "not be")


def cases(row: Sample, bank: Bank, wordings: int, rng) -> Iterator[tuple[Triplet, Triplet | None]]:
    """(right triplet, wrong one or None) for ever: every wording once before any comes again, from a random start."""
    right, others, start = answer_of(row), bank.others(row), int(rng.integers(wordings))
    own = str(row.meta.get("thought") or "") or bank.thought(row, right, rng)
    for wording in itertools.cycle([*range(start, wordings), *range(start)]):
        wrong = None
        if others:
            answer = others[int(rng.integers(len(others)))]
            wrong = _triplet(row, wording, answer, bank.thought(row, answer, rng))
        yield _triplet(row, wording, right, own), wrong


def answer_of(row: Sample) -> str:
    """The row's gold answer in its canonical form, or as it stands where it has none; a free label as it stands."""
    return row.answer if row.kind == "label" and not row.choices else gold(row) or row.answer


def _triplet(row: Sample, wording: int, answer: str, thought: str) -> Triplet:
    question = WORDINGS[row.kind][wording - 1].format(question=row.question) if wording else row.question
    return Triplet(question, answer, thought, row.choices, row.kind, row.knowledge)


MOST_WORDINGS = 3


def propose(settings: Mapping[str, Any], rows: Sequence[Sample], work: Work) -> Proposals:
    """`per_image` triplets a row, an `error_rate` of them wrong; the same for the same (seed, round, row).

    Where a row has no facts, a wrong answer is one of its other choices or, without choices, another row's; the thought that leads
    to it is one of a row that has that answer. So `rows` count too. A free answer that no other row differs from is never wrong.
    """
    check(settings)
    types = facts.types_of(settings.get("question_types"))
    wordings, shares = int(settings["wordings"]), dict(settings["errors"])
    bank = Bank(row for row in rows if row.kind in KINDS)
    proposals = Proposals()
    for row in rows:
        rng = _stream(work.seed, work.round, row)
        if "facts" in row.meta:
            cases = facts.cases(row, types, wordings, rng)
        elif row.kind in KINDS:
            cases = cases(row, bank, wordings, rng)
        else:
            proposals.add(row, [], [f"rows of kind {row.kind} are not asked about"])
            continue
        made = (_erring(*case, rng, float(settings["error_rate"]), shares) for case in cases)
        proposals.add(
            row, [_measured(row, *one) for one in itertools.islice(made, int(settings["per_image"]))]
        )
    return proposals


def check(settings: Mapping[str, Any]) -> None:
    """None; UserError for settings that could not work."""
    if not 0 <= settings["error_rate"] <= 1:
        raise UserError(f"conf.generator.error_rate={settings['error_rate']} is no share between 0 and 1.")
    if not 1 <= settings["wordings"] <= MOST_WORDINGS:
        raise UserError(
            f"conf.generator.wordings={settings['wordings']}: there are 1 to {MOST_WORDINGS} wordings."
        )
    for name, share in settings["errors"].items():
        if name not in ERRORS:
            raise unknown("kind of error", name, ERRORS)
        if share < 0:
            raise UserError(f"conf.generator.errors.{name}={share} is negative.")
    if not sum(settings["errors"].values()):
        raise UserError(
            "conf.generator.errors are all 0: at least one kind of error needs a share; for none, error_rate=0."
        )
    facts.types_of(settings.get("question_types"))


def _wrong(right: Triplet, wrong: Triplet) -> Triplet:
    return wrong


def _unsound(right: Triplet, wrong: Triplet) -> Triplet:
    return dataclasses.replace(right, rationale=wrong.rationale)


def _contradicted(right: Triplet, wrong: Triplet) -> Triplet:
    return dataclasses.replace(wrong, rationale=right.rationale)


ERRORS: dict[str, Callable[[Triplet, Triplet], Triplet]] = {
    "wrong": _wrong,
    "unsound": _unsound,
    "contradicted": _contradicted,
}


def _erring(
    right: Triplet, wrong: Triplet | None, rng, rate: float, shares: Mapping[str, float]
) -> tuple[Triplet, Triplet, str]:
    """(what is said, what is right, the kind of error or "")."""
    errs, total = rng.random() < rate, sum(shares.values())
    kind = str(rng.choice(list(shares), p=[share / total for share in shares.values()]))
    if not errs or wrong is None:
        return right, right, ""
    said = ERRORS[kind](right, wrong)
    if (
        said == right
    ):  # some phantoms have one thought for all answers, and another's does not make it unsound
        kind, said = "wrong", wrong
    return said, right, kind


def _measured(row: Sample, said: Triplet, right: Triplet, error: str) -> Triplet:
    """`said` with what is known of it. A row may itself be wrong on purpose; then its truth is another."""
    truth = right.answer if "facts" in row.meta else str(row.meta.get("truth", right.answer))
    known = {"truth": truth, "is_error": bool(error) or said.answer != truth, "error": error}
    return dataclasses.replace(said, known={**said.known, **known})


def _stream(seed: int, round: int, row: Sample) -> np.random.Generator:
    name = f"{seed}/{round}/{row.source}/{row.id}".encode()
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name).digest()[:8], "big"))
