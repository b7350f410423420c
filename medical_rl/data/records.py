"""Rows of a file as dicts: CSV, TSV, JSON (a list of objects), JSON lines or parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medical_rl.data import json_files, tables
from medical_rl.data.files import is_pointer
from medical_rl.errors import UserError

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
_BATCH = 64


def read(path: Path) -> Iterator[dict]:
    """The rows in order; UserError, with the line where there is one, for anything that is not such a file."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path.absolute()} is none of the files that can be read: {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise UserError(f"There is no file {path.absolute()}.")
    with path.open("rb") as file:
        if is_pointer(file.read(64)):
            raise UserError(f"{path.absolute()} is a git-lfs pointer, not the file itself (git lfs pull fetches it).")
    if suffix in (".csv", ".tsv"):
        return (row for _, row in tables.read(path, ()))
    return {".json": _json, ".jsonl": _lines, ".parquet": _parquet}[suffix](path)


def _json(path: Path) -> Iterator[dict]:
    yield from json_files.listed(path, ())


def _lines(path: Path) -> Iterator[dict]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"Line {number} of {path.absolute()}"
                yield _object(json_files.parsed(line, where), where)


def _object(row, where: str) -> dict:
    if not isinstance(row, dict):
        raise UserError(f"{where} is no JSON object but {type(row).__name__}.")
    return row


def _parquet(path: Path) -> Iterator[dict]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                yield from batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path.absolute()} cannot be read as parquet: {error}.") from error
