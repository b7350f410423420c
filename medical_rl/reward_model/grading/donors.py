"""Donors: rows whose answers and reports are lent to other rows, as texts about the wrong picture."""

import bisect
import dataclasses
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from medical_rl.parsing.response import gold
from medical_rl.parsing.text import normalise
from medical_rl.sample import Sample
from medical_rl.seeding import named_rng, rank

PER_QUESTION = 64
QUESTIONS = 1024


class Donors:
    """A drawn part of a set's rows: at most `per_question` of each of at most `questions` questions.

    Which rows are kept depends on their ids and the seed, not on their order: those with the smallest ranks.
    Memory is bounded whatever the size of the set. A restricted row lends to restricted rows alone.
    """

    def __init__(
        self,
        samples: Iterable[Sample],
        seed: int,
        per_question: int = PER_QUESTION,
        questions: int = QUESTIONS,
    ):
        self.seed, self.per_question, self.questions = seed, per_question, questions
        self._by_question: dict[str, list[_Entry]] = {}  # by kind and question
        self._by_kind: dict[str, list[_Entry]] = {}
        self._share = 1.0  # of all questions, those that are kept
        for sample in samples:
            self._add(sample)

    def of(self, sample: Sample, purpose: str = "") -> Iterator[Sample]:
        """Rows of another picture with another answer, in an order drawn for this row and `purpose`.

        Rows of the same question come first, then others of the same kind. The donor's group is another (its
        id, where rows have no group).
        """
        truth, names, rng = gold(sample), set(), named_rng(self.seed, purpose, sample.id)
        same_question = self._by_question.get(_question(sample), [])
        same_kind = self._by_kind.get(sample.kind, [])
        for entries in (same_question, same_kind):
            for index in rng.permutation(len(entries)):
                entry = entries[index]
                if entry.name not in names and entry.truth != truth and _may_lend(entry.donor, sample):
                    names.add(entry.name)
                    yield entry.donor

    def _add(self, sample: Sample) -> None:
        donor = dataclasses.replace(sample, images=())
        question = _question(sample)
        if rank("question", question) < self._share:
            self._insert(self._by_question.setdefault(question, []), donor)
            while len(self._by_question) > self.questions:  # a share of all questions, whichever came first
                self._share /= 2
                for other in list(self._by_question):
                    if rank("question", other) >= self._share:
                        del self._by_question[other]
        self._insert(self._by_kind.setdefault(sample.kind, []), donor)

    def _insert(self, entries: "list[_Entry]", donor: Sample) -> None:
        """Keep the donor in its place, and of all entries those with the smallest ranks."""
        name = f"{donor.source}/{donor.id}"
        entry = _Entry(rank(str(self.seed), "donor", name), name, donor, gold(donor))
        index = bisect.bisect_left(entries, entry.rank, key=lambda other: other.rank)
        repeated = index < len(entries) and entries[index].name == name
        if not repeated:
            entries.insert(index, entry)
            del entries[self.per_question :]


class _Entry(NamedTuple):
    rank: float
    name: str
    donor: Sample
    truth: str | None


def _may_lend(donor: Sample, sample: Sample) -> bool:
    """Another picture's row, whose text may go wherever the sample's may."""
    if donor.restricted and not sample.restricted:
        return False
    if donor.source != sample.source:
        return True
    return donor.group != sample.group if sample.group and donor.group else donor.id != sample.id


def _question(sample: Sample) -> str:
    return f"{sample.kind}/{normalise(sample.question)}"
