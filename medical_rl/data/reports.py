"""`Report`, one written report that may be retrieved, and their file: `<data>/reports.parquet`.

A prepared set has it beside its splits where its source has reports (MEDFACT-R1, RULE). A report's `split` is
part of the record: the retriever's corpus is the training part alone, and a tested study's own report is only
there to be kept out.
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from medical_rl.data.parquet import read_records, write_records

FILE = "reports.parquet"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("group", pa.string()),
        ("split", pa.string()),
        ("restricted", pa.bool_()),
        ("images", pa.list_(pa.binary())),
    ]
)


@dataclasses.dataclass(frozen=True)
class Report:
    """One report.

    id          unique within the corpus
    text        what it says
    group       its patient, lesion or study, named as the rows' `Sample.group` is
    split       train (it may be retrieved), val or test (its study is chosen by or tested on)
    restricted  True if a data use agreement forbids sending it to a third party
    images      encoded image files of its study, () where they are not kept
    """

    id: str
    text: str
    group: str
    split: str = ""
    restricted: bool = False
    images: tuple[bytes, ...] = ()


def write_reports(reports: Iterable[Report], path: Path | str) -> dict:
    """Write reports, streamed and atomic; return {"reports": n, "restricted": n, "splits": {split: n}}."""
    splits: collections.Counter[str] = collections.Counter()
    restricted = 0

    def records() -> Iterator[dict]:
        nonlocal restricted
        for report in reports:
            splits[report.split] += 1
            restricted += report.restricted
            yield {field: getattr(report, field) for field in SCHEMA.names}

    written = write_records(records(), path, SCHEMA)
    return {"reports": written, "restricted": restricted, "splits": dict(sorted(splits.items()))}


def read_reports(path: Path | str, with_images: bool = True) -> Iterator[Report]:
    """The reports of a file in order, a row group in memory at a time.

    Raises UserError where it is no such file.
    """
    columns = SCHEMA.names if with_images else [name for name in SCHEMA.names if name != "images"]
    for row in read_records(path, SCHEMA, columns):
        row["images"] = tuple(row.get("images") or ())
        yield Report(**row)
