"""Graded rows in any order: the parquet file laid out once as a memory-mapped Arrow file, so that no image fills memory."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medical_rl.reward_model.graded import SCHEMA, Graded
from medical_rl.sample import Sample


def lay_out(parquet: Path | str, goal: Path) -> Path:
    """`goal`, an uncompressed Arrow file of the parquet file's rows; streamed and atomic."""
    scratch = goal.with_name(f".{goal.name}.{os.getpid()}.tmp")
    try:
        with (
            pq.ParquetFile(parquet) as source,
            pa.OSFile(str(scratch), "wb") as sink,
            pa.ipc.new_file(sink, SCHEMA) as writer,
        ):
            for batch in source.iter_batches(batch_size=64):
                writer.write_batch(batch.cast(SCHEMA))
        os.replace(scratch, goal)
    finally:
        scratch.unlink(missing_ok=True)
    return goal


class GradedTable:
    """`table[i]` is the i-th `Graded` row of a file made by `lay_out`."""

    def __init__(self, path: Path | str):
        self._table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()

    def __len__(self) -> int:
        return self._table.num_rows

    def __getitem__(self, index: int) -> Graded:
        row = {name: self._table.column(name)[index].as_py() for name in SCHEMA.names}
        sample = Sample.from_json(row["sample"], tuple(row["images"]))
        return Graded(sample, row["text"], row["grade"], row["made_by"], json.loads(row["criteria"]))

    def column(self, name: str) -> list:
        """One of grade, made_by, text, criteria for all rows; images stay where they are."""
        return self._table.column(name).to_pylist()

    def ids(self) -> list[str]:
        """Sample id of every row."""
        return [json.loads(record)["id"] for record in self._table.column("sample").to_pylist()]
