"""Donors: rows whose answers and reports are lent to other rows, as texts about the wrong picture."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from medical_rl.parsing.response import gold
from medical_rl.parsing.text import normalise
from medical_rl.sample import Sample
from medical_rl.seeding import rank, stream

PER_QUESTION = 64
QUESTIONS = 1024


class Donors:
    """A drawn part of a set's rows, without images: at most `per_question` of each of at most `questions` questions.

    Which rows are kept depends on their ids and the seed, not on their order: those with the smallest ranks. Memory is bounded
    whatever the size of the set. A restricted row lends to restricted rows alone.
    """

    def __init__(
        self,
        samples: Iterable[Sample],
        seed: int,
        per_question: int = PER_QUESTION,
        questions: int = QUESTIONS,
    ):
        self.seed, self.per_question, self.questions = seed, per_question, questions
        self._asked: dict[str, list[_Entry]] = {}  # by kind and question
        self._kinds: dict[str, list[_Entry]] = {}
        self._share = 1.0
        for sample in samples:
            self._add(sample)

    def of(self, sample: Sample, purpose: str = "") -> Iterator[Sample]:
        """Rows of another picture with another answer, in an order drawn for this row and `purpose`.

        Rows of the same question come first, then others of the same kind. The donor's group is another (its id, where rows have
        no group).
        """
        truth, seen, rng = gold(sample), set(), stream(self.seed, purpose, sample.id)
        for pool in (self._asked.get(_question(sample), ()), self._kinds.get(sample.kind, ())):
            for entry in (pool[i] for i in rng.permutation(len(pool))):
                if entry.name not in seen and entry.truth != truth and _may_lend(entry.donor, sample):
                    seen.add(entry.name)
                    yield entry.donor

    def _add(self, sample: Sample) -> None:
        donor = dataclasses.replace(sample, images=())
        key = _question(sample)
        if rank("question", key) < self._share:
            self._keep(self._asked.setdefault(key, []), donor)
            while len(self._asked) > self.questions:  # a share of all questions, whichever came first
                self._share /= 2
                self._asked = {
                    k: pool for k, pool in self._asked.items() if rank("question", k) < self._share
                }
        self._keep(self._kinds.setdefault(sample.kind, []), donor)

    def _keep(self, pool: list[_Entry], donor: Sample) -> None:
        name = f"{donor.source}/{donor.id}"
        entry = _Entry(rank(str(self.seed), "donor", name), name, donor, gold(donor))
        at = bisect.bisect_left(pool, entry.place, key=lambda kept: kept.place)
        if at < self.per_question and (at == len(pool) or pool[at].name != name):  # a row may be repeated
            pool.insert(at, entry)
            del pool[self.per_question :]


class _Entry(NamedTuple):
    place: float
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
