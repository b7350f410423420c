"""The rows of MMMU as published, of some subjects: from the Hub, or from a folder of parquet or JSON files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

from medical_rl.data import hub, records
from medical_rl.data.files import source_folder
from medical_rl.errors import UserError

COLUMNS = ("id", "question", "options", "answer", "question_type")


def rows(source, published: str, subjects: tuple[str, ...], revision: str | None, streaming: bool) -> Iterator[dict]:
    """The rows of a published split ("dev" or "validation") whose id names one of the subjects, each id once.

    Copies of MMMU keep a subject in a file or folder of its own, or all of them in one; both are read.
    """
    found, seen = (_hub if hub.is_hub_id(source) else _local)(source, published, subjects, revision, streaming), set()
    for index, row in enumerate(found):
        if missing := [name for name in COLUMNS if name not in row]:
            raise UserError(
                f"Row {index} of {published} in {source} lacks {', '.join(missing)}; it has {', '.join(map(str, row))}."
            )
        if subject(row) in subjects and row["id"] not in seen:
            seen.add(row["id"])
            yield row


def subject(row: Mapping) -> str:
    """The subject in an id.

    >>> subject({"id": "validation_Public_Health_3"})
    'Public_Health'
    """
    return "_".join(str(row["id"]).split("_")[1:-1])


def folder(source) -> Path:
    """The source folder; UserError where there is none."""
    return source_folder(source, 'It should hold the files of MMMU; or give the Hub id "MMMU/MMMU".')


def _hub(source, published, subjects, revision, streaming) -> Iterator[dict]:
    known = hub.configs(source, revision)
    for name in [subject for subject in subjects if subject in known] or [None]:
        yield from hub.rows(source, published, config=name, revision=revision, streaming=streaming)


def _local(source, published, subjects, *_) -> Iterator[dict]:
    root = folder(source)
    files = [p for p in sorted(root.rglob(f"*{published}*")) if p.suffix.lower() in records.SUFFIXES]
    if not files:
        raise UserError(
            f"{root.absolute()} has no parquet or JSON file with {published!r} in its name. Download MMMU/MMMU from the "
            "Hugging Face Hub with its folders, or give that id as the source."
        )
    own = [path for path in files if path.parent.name in subjects]
    return itertools.chain.from_iterable(records.read(path) for path in own or files)
