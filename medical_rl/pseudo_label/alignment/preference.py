"""`Preference`, one question asked with its reports, its gold answer and, where it is a pair, the answer to unlearn; as parquet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from medical_rl.data.parquet import read_records, write_records
from medical_rl.data.prompts import IMAGE
from medical_rl.errors import UserError
from medical_rl.sample import Sample

_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("study", pa.string()),
        ("cell", pa.string()),
        ("messages", pa.list_(_MESSAGE)),
        ("images", pa.list_(pa.binary())),
        ("chosen", pa.string()),
        ("rejected", pa.string()),
        ("sample", pa.string()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Preference:
    """One row.

    messages  chat turns up to the answer, with the retrieved reports; one `<image>` for each of `images`
    chosen    the gold answer in the form of the prompt's target
    rejected  the wrong answer in the same form; None where the row is measured but is no pair
    sample    the row itself, without its images: how answers are read, and the gold one
    """

    id: str
    study: str
    cell: str
    messages: tuple[dict[str, str], ...]
    images: tuple[bytes, ...]
    chosen: str
    rejected: str | None
    sample: Sample

    @classmethod
    def of(
        cls,
        sample: Sample,
        study: str,
        cell: str,
        messages: Sequence[Mapping[str, str]],
        chosen: str,
        rejected: str | None,
    ) -> Preference:
        """The row of a sample; UserError unless its messages have one `<image>` an image."""
        places = sum(message["content"].count(IMAGE) for message in messages)
        if places != len(sample.images):
            raise UserError(
                f"The prompt of row {sample.id!r} has {places} {IMAGE} for {len(sample.images)} images; the two must be equal."
            )
        bare = dataclasses.replace(sample, images=())
        turns = tuple({"role": m["role"], "content": m["content"]} for m in messages)
        return cls(sample.id, study, cell, turns, sample.images, chosen, rejected, bare)


def write_preferences(rows: Iterable[Preference], path: Path | str) -> int:
    """Number of rows written to `path`, atomically."""

    def record(row: Preference) -> dict:
        return {
            **vars(row),
            "messages": list(row.messages),
            "images": list(row.images),
            "sample": row.sample.to_json(),
        }

    return write_records(map(record, rows), path, SCHEMA, rows_per_group=128)


def read_preferences(path: Path | str) -> Iterator[Preference]:
    """The rows of a file in order, one row group in memory at a time; UserError for a file that is none of ours."""
    for row in read_records(path, SCHEMA):
        row["messages"], row["images"] = tuple(row["messages"]), tuple(row["images"])
        yield Preference(**{**row, "sample": Sample.from_json(row["sample"])})
