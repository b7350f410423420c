"""A question with its reports, its gold answer and, in a pair, the answer to unlearn; as parquet."""

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
    ) -> "Preference":
        """The row of a sample. Raises UserError unless its messages have one `<image>` an image."""
        turns, marks = [], 0
        for message in messages:
            turns.append({"role": message["role"], "content": message["content"]})
            marks += message["content"].count(IMAGE)
        if marks != len(sample.images):
            raise UserError(
                f"The prompt of row {sample.id!r} has {marks} {IMAGE} for {len(sample.images)} images; the "
                "two must be equal."
            )
        bare = dataclasses.replace(sample, images=())
        return cls(sample.id, study, cell, tuple(turns), sample.images, chosen, rejected, bare)


def write_preferences(rows: Iterable[Preference], path: Path | str) -> int:
    """Write the rows to `path`, atomically; returns their number."""

    def record(row: Preference) -> dict:
        fields = dict(vars(row))
        fields["messages"], fields["images"] = list(row.messages), list(row.images)
        fields["sample"] = row.sample.to_json()
        return fields

    return write_records(map(record, rows), path, SCHEMA, rows_per_group=128)


def read_preferences(path: Path | str) -> Iterator[Preference]:
    """The rows of a file in order, a row group in memory at a time. Raises UserError for another file."""
    for row in read_records(path, SCHEMA):
        row["messages"], row["images"] = tuple(row["messages"]), tuple(row["images"])
        row["sample"] = Sample.from_json(row["sample"])
        yield Preference(**row)
