"""Graded rows in any order, from a memory-mapped file, and which of them each step of a training sees.

The steps are planned before training, so that a resumed run has the very next one.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import chain, combinations
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import Dataset

from medical_rl.errors import UserError
from medical_rl.reward_model.graded import SCHEMA, Graded, graded_from_record
from medical_rl.run.files import replacing
from medical_rl.training.encode import Encoder, collate


def lay_out(parquet: Path | str, path: Path) -> Path:
    """Write the parquet file's rows as an uncompressed Arrow file to `path`, atomically; return `path`."""
    with (
        replacing(path) as scratch,
        pq.ParquetFile(parquet) as source,
        pa.ipc.new_file(str(scratch), SCHEMA) as writer,
    ):
        for batch in source.iter_batches(batch_size=64):
            writer.write_batch(batch.cast(SCHEMA))
    return path


class GradedTable:
    """`table[i]` is the i-th `Graded` row of a file made by `lay_out`."""

    def __init__(self, path: Path | str):
        self._table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()

    def __len__(self) -> int:
        return self._table.num_rows

    def __getitem__(self, index: int) -> Graded:
        (record,) = self._table.slice(index, 1).to_pylist()
        return graded_from_record(record)

    def column(self, name: str) -> list:
        """One of grade, made_by, text, criteria for all rows; images stay where they are."""
        return self._table.column(name).to_pylist()

    def ids(self) -> list[str]:
        """Sample id of every row."""
        return [json.loads(record)["id"] for record in self.column("sample")]


def screen(table: GradedTable, encoder: Encoder, max_length: int, overlong: str) -> list[int]:
    """Indices of the rows of at most `max_length` tokens; none is cut, as its last token is scored.

    Raises UserError for a row that cannot be encoded, for a longer one if `overlong` is "error", and where
    nothing is left.
    """
    indices = []
    for index in range(len(table)):
        row = table[index]
        length = encoder.length(row.sample, row.text)
        if length <= max_length:
            indices.append(index)
        elif overlong == "error":
            raise UserError(
                f"The {row.made_by} text of row {row.sample.id!r} has {length} tokens with its question and "
                f"images; the reward model takes {max_length}. Raise max_length, lower max_pixels, or drop "
                "such rows (overlong: drop)."
            )
    if not indices:
        raise UserError(
            f"None of the {len(table)} graded rows has at most {max_length} tokens: raise max_length."
        )
    return indices


class Units(Dataset):
    """`units[i]`: {row: its encoding and "grades"} of the i-th unit, one row or a pair (better, worse).

    members  row indices of each unit
    groups   numbers of the units about the same sample, together
    grades   of a row: the total and that of each criterion, NaN where it is not known
    """

    def __init__(
        self,
        table: GradedTable,
        encoder: Encoder,
        members: Sequence[tuple[int, ...]],
        criteria: Sequence[str] = (),
    ):
        self.table, self.encoder, self.members, self.criteria = table, encoder, list(members), criteria
        ids = table.ids()
        self.groups = indices_by_name([ids[rows[0]] for rows in self.members])

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int) -> dict[int, dict]:
        unit = {}
        for member in self.members[index]:
            row = self.table[member]
            grades = [row.grade] + [row.criteria.get(name, float("nan")) for name in self.criteria]
            unit[member] = {**self.encoder.encode(row.sample, row.text), "grades": grades}
        return unit

    def batch(self, units: Sequence[dict[int, dict]]) -> dict[str, torch.Tensor]:
        """Tensors of some units' different rows, and `members`: the places of each unit's rows in them.

        grades    (rows, 1 + criteria)
        response  (rows, tokens), true where a token is of the response
        """
        rows: dict[int, dict] = {}
        for unit in units:
            rows |= unit
        places = {index: place for place, index in enumerate(rows)}
        encoded = list(rows.values())
        batch = collate(encoded, self.encoder.padding, self.encoder.image_token)
        batch["grades"] = torch.tensor(list(map(itemgetter("grades"), encoded)), dtype=torch.float32)
        before = torch.tensor(list(map(itemgetter("before"), encoded)))
        tokens = torch.arange(batch["input_ids"].shape[1])
        batch["response"] = (tokens >= before[:, None]) & batch["attention_mask"].bool()
        batch["members"] = torch.tensor([list(map(places.get, unit)) for unit in units])
        return batch


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
    """`steps` lists of `batch_size` units: each pass in a new seeded order, its rest left out.

    The units of a group (responses about one image) stand beside each other: a batch then has few images with
    many responses each, whose vision is computed once and whose differences are the responses' own.
    """
    waiting: list[int] = []
    passes = 0
    for _ in range(steps):
        if len(waiting) < batch_size:
            order = np.random.default_rng([seed, passes]).permutation(len(groups))
            waiting = list(chain.from_iterable(map(groups.__getitem__, order)))
            passes += 1
        batch, waiting = waiting[:batch_size], waiting[batch_size:]
        yield batch


def process_share(batch: Sequence, rank: int, world: int) -> Sequence:
    """The part of a batch that process `rank` of `world` takes.

    The parts are equal, so that averaged gradients are the batch's. Raises UserError where they cannot be.
    """
    if len(batch) % world:
        raise UserError(f"A batch of {len(batch)} cannot be shared equally by {world} processes.")
    part = len(batch) // world
    return batch[rank * part : (rank + 1) * part]


def indices_by_name(names: Sequence[str]) -> list[list[int]]:
    """Indices that have the same name, together.

    >>> indices_by_name(["a", "b", "a"])
    [[0, 2], [1]]
    """
    indices: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        indices.setdefault(name, []).append(index)
    return list(indices.values())


def preference_pairs(samples: Sequence[str], grades: Sequence[float]) -> list[tuple[int, int]]:
    """(better row, worse row) for every two rows of one sample whose grades differ.

    >>> preference_pairs(["a", "a", "b", "a"], [0.0, 6.0, 10.0, 6.0])
    [(1, 0), (3, 0)]
    """
    pairs = []
    for group in indices_by_name(samples):
        for i, j in combinations(group, 2):
            if grades[i] != grades[j]:
                pairs.append((i, j) if grades[i] > grades[j] else (j, i))
    return pairs


def learning_rate_share(step: int, steps: int, warmup_ratio: float) -> float:
    """Share of the peak learning rate at `step`: a linear rise at first, then a cosine to zero.

    >>> [round(learning_rate_share(step, 10, 0.2), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    rise = max(1, round(steps * warmup_ratio))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + float(np.cos(np.pi * (step - rise) / max(1, steps - rise))))
