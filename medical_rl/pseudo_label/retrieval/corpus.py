"""The corpus of reports that a labeller retrieves from; a row is never given its own, under whatever name.

A report is a row's own where their ids or groups are one, or where its text nearly is that of the row's own
report: shared words over all words, with repeats, whatever their order. The default of 0.7 is measured on the
2,069 reports of RULE's IU-Xray corpus: of copies with two words replaced it finds 98 %, and all of those with
15 words or more; 43 % of reports are so like another study's, by sentences that all reports have, that one is
no longer given to the other (0.8: 30 %, and 11 % of the copies missed; pairs of words at 0.5: 54 %).
"""

import collections
import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from medical_rl.data.reports import FILE, Report, read_reports
from medical_rl.errors import UserError
from medical_rl.parsing.text import normalise
from medical_rl.sample import Sample


@dataclasses.dataclass(frozen=True)
class Hit:
    """A retrieved report and its score, higher is nearer; scores of two retrievers do not compare."""

    id: str
    score: float


class Retriever(Protocol):
    """Ranks the reports of one corpus."""

    def rank(self, samples: Sequence[Sample], k: int) -> list[list[Hit]]:
        """The k nearest reports of every row, best first; all there are where k is more."""


def corpus(data: Path | str) -> list[Report]:
    """A prepared folder's reports, held-out ones too, without images. Raises UserError where it has none."""
    path = Path(data) / FILE
    if not path.is_file():
        raise UserError(
            f"There are no reports to retrieve: {path.absolute()} is not there, because the data's source "
            "has none. Name files or folders of them with conf.data.reports (for IU-Xray RULE's retriever "
            "files, R2Gen's annotation.json, Kaggle's tables or the XML), or give your own table a column "
            "`report`."
        )
    return list(read_reports(path, with_images=False))


def retrievable(reports: Sequence[Report], splits: Sequence[str] = ("train",)) -> list[Report]:
    """The reports of these splits, in order. Raises UserError where none is left.

    >>> retrievable([Report("1", "Clear.", "a", "train"), Report("2", "Large.", "b", "test")])[0].id
    '1'
    """
    selected = [report for report in reports if report.split in splits]
    if not selected:
        available = ", ".join(sorted({report.split or "(none)" for report in reports})) or "none at all"
        raise UserError(
            f"No report may be retrieved: the corpus has {len(reports):,} reports, of the splits "
            f"{available}, and conf.retriever.splits names {', '.join(splits) or 'none'}."
        )
    return selected


Words = collections.Counter[str]


class Guard:
    """Knows which reports are a row's own.

    `reports` are all there are: those of held-out studies, never retrieved, show their text.
    """

    def __init__(self, reports: Iterable[Report], near_duplicate: float) -> None:
        self.near_duplicate = near_duplicate
        self.reports: dict[str, Report] = {}
        self._of_name: dict[str, list[str]] = collections.defaultdict(list)
        self._words_of = functools.cache(lambda id: word_counts(self.reports[id].text))
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
