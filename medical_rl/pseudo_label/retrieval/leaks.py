"""A row is never given its own report: not by name, and not by text under another name.

A report is a row's own where their ids or groups (patient, lesion or study) are one, or where its text nearly
is that of the row's own report. Texts are compared by their words with repeats: shared words over all words
of both, 0 to 1 (Jaccard over multisets), so that sentences in another order are the same text. The default of
0.7 is measured on the 2,069 reports of RULE's IU-Xray corpus: of copies with two words replaced it finds 98
%, and all of those with 15 words or more. What that costs: 43 % of reports are so like another study's that
one is no longer given to the other (30 % at 0.8, where 11 % of the copies are missed; 54 % for pairs of words
at 0.5, which finds as many copies). Standard sentences are common to many.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence

from medical_rl.data.reports import Report
from medical_rl.errors import UserError
from medical_rl.parsing.text import normalise
from medical_rl.pseudo_label.retrieval.corpus import Hit
from medical_rl.sample import Sample

Words = collections.Counter[str]


class Guard:
    """Knows which reports are a row's own.

    `reports` are all there are: those of held-out studies, never retrieved, show their text.
    """

    def __init__(self, reports: Iterable[Report], near_duplicate: float) -> None:
        self.near_duplicate = near_duplicate
        self.reports: dict[str, Report] = {}
        self._of_name: dict[str, list[str]] = collections.defaultdict(list)
        self._words: dict[str, Words] = {}
        for report in reports:
            if report.id in self.reports:
                raise UserError(
                    f"The report id {report.id!r} is in the corpus twice. Prepare the data again."
                )
            self.reports[report.id] = report
            for name in {report.id, report.group} - {""}:
                self._of_name[name].append(report.id)

    def own_texts(self, sample: Sample) -> list[Words]:
        """The words of every text known to be the row's own report: its meta's, and its names' reports'."""
        texts = {str(sample.meta.get("report") or "")}
        for report_id in self._named(sample):
            texts.add(self.reports[report_id].text)
        return list(filter(None, map(word_counts, texts)))

    def reason(self, sample: Sample, id: str, own: Sequence[Words]) -> str:
        """Why report `id` is the row's own, "" where it is not; `own` are its `own_texts`."""
        if id not in self.reports:
            raise UserError(f"The retriever gave row {sample.id} a report {id!r} that is not in the corpus.")
        if id in self._named(sample):
            return "it is of the row's own id, patient or study"
        overlap = max((word_overlap(self._words_of(id), text) for text in own), default=0.0)
        if overlap >= self.near_duplicate:
            return f"its text is the row's own report's ({overlap:.2f} alike)"
        return ""

    def others(self, sample: Sample, hits: Iterable[Hit]) -> list[Hit]:
        """The hits that are not the row's own reports, in order."""
        own = self.own_texts(sample)
        return [hit for hit in hits if not self.reason(sample, hit.id, own)]

    def _named(self, sample: Sample) -> set[str]:
        """The ids of the reports that bear one of the row's names."""
        reports = set()
        for name in (sample.id, sample.group, str(sample.meta.get("study") or "")):
            reports.update(self._of_name.get(name, ()))
        return reports

    def _words_of(self, id: str) -> Words:
        if id not in self._words:
            self._words[id] = word_counts(self.reports[id].text)
        return self._words[id]


def word_counts(text: str) -> Words:
    """How often each word is in a text."""
    return collections.Counter(normalise(text).split())


def word_overlap(one: Words, other: Words) -> float:
    """Shared words over all words of two texts, repeats counted, 0 to 1.

    >>> one = word_counts("No effusion. The heart is large.")
    >>> word_overlap(one, word_counts("The heart is large, no nodule."))
    0.7142857142857143
    """
    total = one.total() + other.total()
    shared = (one & other).total()
    return shared / (total - shared) if total else 0.0


def refuse_own(
    samples: Iterable[Sample], retrieved: Mapping[str, Sequence[Hit]], guard: Guard, splits: Sequence[str]
) -> None:
    """Raise UserError naming a row that was given its own report, or one of a split kept out.

    retrieved  {row id: its reports}, as they are about to be used, whatever wrote them
    """
    for sample in samples:
        if sample.id not in retrieved:
            raise UserError(
                f"Row {sample.id} has no list of retrieved reports; retrieve for all rows that are labelled."
            )
        own = guard.own_texts(sample)
        for hit in retrieved[sample.id]:
            reason = guard.reason(sample, hit.id, own)
            if reason:
                raise UserError(
                    f"Row {sample.id} was given its own report {hit.id}: {reason}. A label from it would be "
                    "the answer itself. This is a fault of the retriever or of a file that was changed; "
                    "remove the retrieved lists and run again."
                )
            split = guard.reports[hit.id].split
            if split not in splits:
                raise UserError(
                    f"Row {sample.id} was given the report {hit.id} of the split {split!r}; only those of "
                    f"{', '.join(splits)} may be retrieved (conf.retriever.splits)."
                )
