"""What the template generator asks of any row: its own question in other words; wrong answers and thoughts are other rows'."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Iterator

from medical_rl.answers import gold
from medical_rl.loop.triplets import Triplet
from medical_rl.reading.text import label_key
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
