"""The report corpus that a labeller retrieves from: what `prepare` left, and which of it may be retrieved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medical_rl.data.reports import FILE, SCHEMA, Report, read_reports, write_reports
from medical_rl.errors import UserError

__all__ = ["FILE", "SCHEMA", "Report", "corpus", "read_reports", "retrievable", "write_reports"]


def corpus(data: Path | str, with_images: bool = False) -> list[Report]:
    """All reports of a prepared folder, held-out ones too; UserError where it has none."""
    path = Path(data) / FILE
    if not path.is_file():
        raise UserError(
            f"There are no reports to retrieve: {path.absolute()} is not there, because the data's source has none. Name files or "
            "folders of them with conf.data.reports (for IU-Xray RULE's retriever files, R2Gen's annotation.json, Kaggle's tables "
            "or the XML), or give your own table a column `report`."
        )
    return list(read_reports(path, with_images))


def retrievable(reports: Sequence[Report], splits: Sequence[str] = ("train",)) -> list[Report]:
    """The reports of these splits, in order; UserError where none is left.

    >>> retrievable([Report("1", "Clear.", "a", "train"), Report("2", "Large.", "b", "test")])[0].id
    '1'
    """
    found = [report for report in reports if report.split in splits]
    if not found:
        have = ", ".join(sorted({report.split or "(none)" for report in reports})) or "none at all"
        raise UserError(
            f"No report may be retrieved: the corpus has {len(reports):,} reports, of the splits {have}, and conf.retriever.splits "
            f"names {', '.join(splits) or 'none'}."
        )
    return found
