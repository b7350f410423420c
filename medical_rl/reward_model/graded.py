"""`Graded`: a response with the grade it deserves, what R_phi is trained and measured on.

10 is right, 6 right in other words, 0 missing or broken, -6 wrong. The grade is the paper's; it is no mean of
the criteria, which the paper does not grade: these numbers are ours. The report of another picture is coherent
by itself, so its reasoning is sound: what is wrong is what it says of this one.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from medical_rl.data.parquet import read_records, write_records
from medical_rl.parsing.response import parse, read
from medical_rl.parsing.text import normalise
from medical_rl.rewards.terms.accuracy import right
from medical_rl.sample import Sample

# MedGR2's four grades ("Multi-Grade Supervision"): who made the text decides the grade.
GRADES = {"original": 10.0, "synonym": 6.0, "deletion": 0.0, "irrelevant": -6.0}
LOW, HIGH = -6.0, 10.0
# What the paper's reward model looks at; each may have an output of its own beside the total.
CRITERIA = ("factual", "format", "reasoning", "relevance")
REWORDED, BROKEN = 6.0, 0.0
# {who made it: its criteria}, where the response itself does not say otherwise (the two functions below).
TABLE = {
    "original": (HIGH, HIGH, HIGH, HIGH),
    "synonym": (REWORDED, HIGH, REWORDED, HIGH),
    "deletion": (HIGH, HIGH, BROKEN, HIGH),
    "irrelevant": (LOW, HIGH, HIGH, HIGH),
    "hallucinated": (LOW, HIGH, LOW, HIGH),
    "irrelevant_synonym": (LOW, HIGH, HIGH, HIGH),
    "unsound": (HIGH, HIGH, LOW, HIGH),
    "grey_image": (LOW, HIGH, HIGH, LOW),
}
SCHEMA = pa.schema(
    {
        "sample": pa.string(),
        "images": pa.list_(pa.binary()),
        "text": pa.string(),
        "grade": pa.float64(),
        "made_by": pa.string(),
        "criteria": pa.string(),
    }
)


@dataclasses.dataclass(frozen=True)
class Graded:
    """One response and its grade.

    sample    the row it answers, images included
    text      the whole response, as a policy writes it (think and answer tags and all)
    grade     in [-6, 10]
    made_by   original, synonym, deletion, irrelevant; hallucinated, unsound, irrelevant_synonym
              (contradictions); a probe's name; policy_right, policy_unsound, policy_wrong
    criteria  {criterion: grade in [-6, 10]} where they are known
    """

    sample: Sample
    text: str
    grade: float
    made_by: str
    criteria: dict[str, float] = dataclasses.field(default_factory=dict)


def write_graded(rows: Iterable[Graded], path: Path | str) -> int:
    """Write rows to the parquet file `path`, streamed and atomic; the result is their number."""
    return write_records(map(_graded_record, rows), path, SCHEMA)


def read_graded(path: Path | str) -> Iterator[Graded]:
    """The rows of `path` in order, one row group in memory at a time."""
    return map(graded_from_record, read_records(path, SCHEMA))


def graded_from_record(record: Mapping) -> Graded:
    """The row of a file's record, {column of SCHEMA: value}."""
    sample = Sample.from_json(record["sample"], tuple(record["images"]))
    criteria = json.loads(record["criteria"])
    return Graded(sample, record["text"], record["grade"], record["made_by"], criteria)


def _graded_record(row: Graded) -> dict:
    return {
        "sample": row.sample.to_json(),
        "images": list(row.sample.images),
        "text": row.text,
        "grade": float(row.grade),
        "made_by": row.made_by,
        "criteria": json.dumps(row.criteria),
    }


def criteria(made_by: str, **changed: float) -> dict[str, float]:
    """{criterion: grade} of the table's row, with what is `changed` in this response.

    >>> criteria("irrelevant", relevance=-6.0)
    {'factual': -6.0, 'format': 10.0, 'reasoning': 10.0, 'relevance': -6.0}
    """
    return dict(zip(CRITERIA, TABLE[made_by], strict=True)) | changed


def deletion_criteria(text: str, original: str, sample: Sample) -> dict[str, float]:
    """The criteria of a response with deleted phrases: what is left of its answer and of its form."""
    remaining, whole = parse(text), parse(original)
    changed = {}
    if not right(read(remaining, sample), sample):
        changed["factual"] = BROKEN
    if not remaining.answer or (remaining.thought is None) != (whole.thought is None):
        changed["format"] = BROKEN
    return criteria("deletion", **changed)


def donor_criteria(made_by: str, donor: Sample, sample: Sample) -> dict[str, float]:
    """The criteria of a donor's text: off the question too, where its thought is about another one."""
    deserved = criteria(made_by)
    if donor.meta.get("thought") and normalise(donor.question) != normalise(sample.question):
        deserved["relevance"] = LOW
    return deserved
