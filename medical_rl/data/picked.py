"""Some rows of a prepared file, by number: what a page of pictures shows."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medical_rl.data.parquet import count_rows
from medical_rl.errors import UserError
from medical_rl.sample import Sample


def drawn(path: Path, n: int, seed: int) -> list[int]:
    """The numbers of `n` rows of the file, or of all if it has fewer, drawn with the seed, in order."""
    total = count_rows(path)
    return sorted(random.Random(f"{seed}/{path.name}").sample(range(total), min(n, total)))


def picked(path: Path, wanted: Collection[int]) -> Iterator[tuple[int, Sample, list[dict]]]:
    """(number, sample, chat messages) of the rows `wanted`, in order; only the row groups that hold one are read."""
    try:
        with pq.ParquetFile(path) as file:
            start = 0
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                here = sorted(number for number in wanted if start <= number < end)
                if here:
                    table = file.read_row_group(group, columns=["sample", "images", "prompt"])
                    for row, number in zip(table.take([n - start for n in here]).to_pylist(), here, strict=True):
                        pictures = tuple(image["bytes"] for image in row["images"] or ())
                        yield number, Sample.from_json(row["sample"], pictures), row["prompt"] or []
                start = end
    except (pa.ArrowInvalid, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be shown: {error!r}. `python -m medical_rl.data check` tells what is wrong."
        ) from error
