"""`Graded`: a response to a row's question with the grade it deserves; what R_phi is trained and measured on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from medical_rl.data.parquet import read_records, write_records
from medical_rl.sample import Sample

# MedGR2's four grades ("Multi-Grade Supervision"): who made the text decides the grade.
GRADES = {"original": 10.0, "synonym": 6.0, "deletion": 0.0, "irrelevant": -6.0}
LOW, HIGH = -6.0, 10.0
# What the paper's reward model looks at; each may have an output of its own beside the total.
CRITERIA = ("factual", "format", "reasoning", "relevance")
SCHEMA = pa.schema(
    [
        ("sample", pa.string()),
        ("images", pa.list_(pa.binary())),
        ("text", pa.string()),
        ("grade", pa.float64()),
        ("made_by", pa.string()),
        ("criteria", pa.string()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Graded:
    """One response and its grade.

    sample    the row it answers, images included
    text      the whole response, as a policy writes it (think and answer tags and all)
    grade     in [-6, 10]
    made_by   original, synonym, deletion, irrelevant; hallucinated, unsound, irrelevant_synonym (contradictions); a probe's name;
              policy_right, policy_unsound, policy_wrong
    criteria  {criterion: grade in [-6, 10]} where they are known
    """

    sample: Sample
    text: str
    grade: float
    made_by: str
    criteria: dict[str, float] = dataclasses.field(default_factory=dict)


def write_graded(rows: Iterable[Graded], path: Path | str) -> int:
    """Number of rows written to the parquet file `path`, streamed and atomic."""
    return write_records(map(_record, rows), path, SCHEMA)


def read_graded(path: Path | str) -> Iterator[Graded]:
    """The rows of `path` in order, one row group in memory at a time."""
    for row in read_records(path, SCHEMA):
        sample = Sample.from_json(row["sample"], tuple(row["images"]))
        yield Graded(sample, row["text"], row["grade"], row["made_by"], json.loads(row["criteria"]))


def _record(row: Graded) -> dict:
    return {
        "sample": row.sample.to_json(),
        "images": list(row.sample.images),
        "text": row.text,
        "grade": float(row.grade),
        "made_by": row.made_by,
        "criteria": json.dumps(row.criteria),
    }
