"""Which rows each step sees: a plan known before training, so that a resumed run goes on with the very next step.

Graded rows in any order: the parquet file laid out once as a memory-mapped Arrow file, so that no image fills memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medical_rl.errors import UserError
from medical_rl.reward_model.graded import SCHEMA, Graded
from medical_rl.sample import Sample


def steps_of(units: int, batch_size: int, epochs: float | None, steps: int | None) -> int:
    """Number of steps: `steps` where given, else those of `epochs` passes over `units` rows or pairs.

    >>> steps_of(100, 32, 2, None), steps_of(100, 32, None, 5)
    (6, 5)
    """
    if (epochs is None) == (steps is None):
        raise UserError(f"Give either epochs or steps; they are {epochs} and {steps}.")
    if units < batch_size:
        raise UserError(f"There are {units} rows or pairs to train on, fewer than one batch of {batch_size}.")
    return int(steps) if steps is not None else max(1, int(epochs * units // batch_size))


def batches(groups: Sequence[Sequence[int]], batch_size: int, steps: int, seed: int) -> Iterator[list[int]]:
    """`steps` lists of `batch_size` units: every pass takes the groups in a new seeded order, its remainder left out.

    The units of a group (responses about one image) stand beside each other: a batch then has few images with many
    responses each, whose vision is computed once and whose differences are the responses' own.
    """
    waiting: list[int] = []
    passes = 0
    for _ in range(steps):
        if len(waiting) < batch_size:
            order = np.random.default_rng([seed, passes]).permutation(len(groups))
            waiting = [unit for group in order for unit in groups[group]]
            passes += 1
        batch, waiting = waiting[:batch_size], waiting[batch_size:]
        yield batch


def share(batch: Sequence, rank: int, world: int) -> Sequence:
    """The part of a batch that process `rank` of `world` takes; equal parts, so that averaged gradients are the batch's."""
    if len(batch) % world:
        raise UserError(f"A batch of {len(batch)} cannot be shared equally by {world} processes.")
    part = len(batch) // world
    return batch[rank * part : (rank + 1) * part]


def grouped(names: Sequence[str]) -> list[list[int]]:
    """Indices that have the same name, together.

    >>> grouped(["a", "b", "a"])
    [[0, 2], [1]]
    """
    found: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        found.setdefault(name, []).append(index)
    return list(found.values())


def pairs(samples: Sequence[str], grades: Sequence[float]) -> list[tuple[int, int]]:
    """(better row, worse row) for every two rows of one sample whose grades differ.

    >>> pairs(["a", "a", "b", "a"], [0.0, 6.0, 10.0, 6.0])
    [(1, 0), (3, 0)]
    """
    return [
        (i, j) if grades[i] > grades[j] else (j, i)
        for group in grouped(samples)
        for i, j in combinations(group, 2)
        if grades[i] != grades[j]
    ]


def rate(step: int, steps: int, warmup_ratio: float) -> float:
    """Share of the peak learning rate at `step` of `steps`: a linear rise over the first part, then a cosine to zero.

    >>> [round(rate(step, 10, 0.2), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    rise = max(1, round(steps * warmup_ratio))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + float(np.cos(np.pi * (step - rise) / max(1, steps - rise))))


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
