"""A row is never given its own report: not by name, and not by text under another name.

A report is a row's own where their ids or groups (patient, lesion or study) are one, or where its text nearly is that of the
row's own report. Texts are compared by their words with repeats: shared words over all words of both, 0 to 1 (Jaccard over
multisets), so that sentences in another order are the same text. The default of 0.7 is measured on the 2,069 reports of
RULE's IU-Xray corpus: of copies with two words replaced it finds 98 %, and all of those with 15 words or more. What that
costs: 43 % of reports are so like another study's that one is no longer given to the other (30 % at 0.8, where 11 % of
the copies are missed; 54 % for pairs of words at 0.5, which finds as many copies). Standard sentences are common to many.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence

from medical_rl.errors import UserError
from medical_rl.parsing.text import normalise
from medical_rl.pseudo_label.retrieval.hits import Hit
from medical_rl.pseudo_label.retrieval.reports import Report
from medical_rl.sample import Sample

Words = collections.Counter[str]


class Guard:
    """Tells a row's own reports. `reports` are all there are: those of held-out studies, never retrieved, show their text."""

    def __init__(self, reports: Iterable[Report], near_duplicate: float) -> None:
        self.near_duplicate = near_duplicate
        self.reports: dict[str, Report] = {}
        self._of: dict[str, list[str]] = collections.defaultdict(list)
        self._words: dict[str, Words] = {}
        for report in reports:
            if report.id in self.reports:
                raise UserError(
                    f"The report id {report.id!r} is in the corpus twice. Prepare the data again."
                )
            self.reports[report.id] = report
            for name in {report.id, report.group} - {""}:
                self._of[name].append(report.id)

    def own_texts(self, sample: Sample) -> list[Words]:
        """The words of every text that is known to be the row's own report: its meta's, and those of its names' reports."""
        texts = [str(sample.meta["report"])] if sample.meta.get("report") else []
        texts += [self.reports[name].text for name in self._named(sample)]
        return [found for text in dict.fromkeys(texts) if (found := words(text))]

    def reason(self, sample: Sample, id: str, own: Sequence[Words]) -> str:
        """Why report `id` is the row's own, "" where it is not; `own` are its `own_texts`."""
        if id not in self.reports:
            raise UserError(f"The retriever gave row {sample.id} a report {id!r} that is not in the corpus.")
        if id in self._named(sample):
            return "it is of the row's own id, patient or study"
        nearest = max((alike(self._counted(id), text) for text in own), default=0.0)
        return (
            f"its text is the row's own report's ({nearest:.2f} alike)"
            if nearest >= self.near_duplicate
            else ""
        )

    def others(self, sample: Sample, hits: Iterable[Hit]) -> list[Hit]:
        """The hits that are not the row's own reports, in order."""
        own = self.own_texts(sample)
        return [hit for hit in hits if not self.reason(sample, hit.id, own)]

    def _named(self, sample: Sample) -> set[str]:
        names = {sample.id, sample.group, str(sample.meta.get("study") or "")} - {""}
        return {report for name in names for report in self._of.get(name, ())}

    def _counted(self, id: str) -> Words:
        if id not in self._words:
            self._words[id] = words(self.reports[id].text)
        return self._words[id]


def words(text: str) -> Words:
    """How often each word is in a text."""
    return collections.Counter(normalise(text).split())


def alike(one: Words, other: Words) -> float:
    """Shared words over all words of two texts, repeats counted, 0 to 1.

    >>> alike(words("No effusion. The heart is large."), words("The heart is large, no nodule."))
    0.7142857142857143
    """
    total = one.total() + other.total()
    shared = (one & other).total()
    return shared / (total - shared) if total else 0.0


def refuse_own(
    samples: Iterable[Sample], retrieved: Mapping[str, Sequence[Hit]], guard: Guard, splits: Sequence[str]
) -> None:
    """None; UserError naming the row that was given its own report, or one of a split that may not be retrieved.

    retrieved  {row id: its reports}, as they are about to be used, whatever wrote them
    """
    for sample in samples:
        if sample.id not in retrieved:
            raise UserError(
                f"Row {sample.id} has no list of retrieved reports; retrieve for all rows that are labelled."
            )
        own = guard.own_texts(sample)
        for hit in retrieved[sample.id]:
            if reason := guard.reason(sample, hit.id, own):
                raise UserError(
                    f"Row {sample.id} was given its own report {hit.id}: {reason}. A label from it would be the answer itself. "
                    "This is a fault of the retriever or of a file that was changed; remove the retrieved lists and run again."
                )
            if (split := guard.reports[hit.id].split) not in splits:
                raise UserError(
                    f"Row {sample.id} was given the report {hit.id} of the split {split!r}; only those of "
                    f"{', '.join(splits)} may be retrieved (conf.retriever.splits)."
                )
