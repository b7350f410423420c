"""The corpus of reports that a labeller retrieves from, and the hits of a retriever."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from medical_rl.data.reports import FILE, Report, read_reports
from medical_rl.errors import UserError
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
