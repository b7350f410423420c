"""Rows of the warm start: a conversation with its images, as verl's SFT dataset wants them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medical_rl.data.parquet import read_samples
from medical_rl.data.prompts import messages, target

# verl's SFT takes images as dicts only; limits stand in each image because it ignores
# mm_processor_kwargs, and transformers ignores max_pixels without min_pixels.
SCHEMA = pa.schema(
    [
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        (
            "images",
            pa.list_(pa.struct([("bytes", pa.binary()), ("min_pixels", pa.int64()), ("max_pixels", pa.int64())])),
        ),
    ]
)
GROUP = 512


def write_sft_rows(
    source: Path, path: Path, prompt: Mapping, limits: Mapping[str, int], limit: int | None = None
) -> int:
    """Number of rows written to `path` (atomically): prompt, images and target of each prepared row of `source`."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    written, group = 0, []
    try:
        with pq.ParquetWriter(scratch, SCHEMA) as writer:
            for sample in read_samples(source):
                if limit is not None and written + len(group) >= limit:
                    break
                turns = [*messages(sample, prompt), {"role": "assistant", "content": target(sample, prompt)}]
                group.append({"messages": turns, "images": [{"bytes": b, **limits} for b in sample.images]})
                if len(group) == GROUP:
                    writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
                    written, group = written + len(group), []
            if group:
                writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
                written += len(group)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    return written
