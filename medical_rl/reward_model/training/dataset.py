"""Graded rows in any order, from a memory-mapped Arrow file, so that no image fills memory."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from torch.utils.data import Dataset

from medical_rl.errors import UserError
from medical_rl.reward_model.graded import SCHEMA, Graded, graded_from_record
from medical_rl.reward_model.training.plan import indices_by_name
from medical_rl.run.files import replacing
from medical_rl.training.encode import Encoder


def lay_out(parquet: Path | str, path: Path) -> Path:
    """Write the parquet file's rows as an uncompressed Arrow file to `path`, atomically; return `path`."""
    with (
        replacing(path) as scratch,
        pq.ParquetFile(parquet) as source,
        pa.OSFile(str(scratch), "wb") as sink,
        pa.ipc.new_file(sink, SCHEMA) as writer,
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
        self.table, self.encoder, self.members, self.criteria = table, encoder, list(members), tuple(criteria)
        ids = table.ids()
        self.groups = indices_by_name([ids[rows[0]] for rows in self.members])

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int) -> dict[int, dict]:
        return {member: self._row(member) for member in self.members[index]}

    def _row(self, index: int) -> dict:
        row = self.table[index]
        encoded = self.encoder.encode(row.sample, row.text)
        encoded["grades"] = [row.grade]
        for criterion in self.criteria:
            encoded["grades"].append(row.criteria.get(criterion, float("nan")))
        return encoded
