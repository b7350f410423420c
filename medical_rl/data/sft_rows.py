"""Rows of the warm start: a conversation with its images, as verl's SFT dataset wants them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

import pyarrow as pa

from medical_rl.data.parquet import read_samples, write_records
from medical_rl.data.prompts import messages, target
from medical_rl.sample import Sample

# verl's SFT takes images as dicts only; limits stand in each image because it ignores
# mm_processor_kwargs, and transformers ignores max_pixels without min_pixels.
SCHEMA = pa.schema(
    [
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        (
            "images",
            pa.list_(
                pa.struct([("bytes", pa.binary()), ("min_pixels", pa.int64()), ("max_pixels", pa.int64())])
            ),
        ),
    ]
)


def write_sft_rows(
    source: Path, path: Path, prompt: Mapping, limits: Mapping[str, int], limit: int | None = None
) -> int:
    """Number of rows written to `path` (atomically): prompt, images and target of each prepared row of `source`."""
    return write_turns(islice(read_samples(source), limit), path, prompt, limits)


def write_turns(samples: Iterable[Sample], path: Path, prompt: Mapping, limits: Mapping[str, int]) -> int:
    """Number of rows written to `path` (atomically): prompt, images and target of each sample."""

    def record(sample: Sample) -> dict:
        turns = [*messages(sample, prompt), {"role": "assistant", "content": target(sample, prompt)}]
        return {"messages": turns, "images": [{"bytes": b, **limits} for b in sample.images]}

    return write_records(map(record, samples), path, SCHEMA)
