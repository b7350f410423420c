"""Prepared files with some samples changed: the `sample` column anew, everything else as it was, all or nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medical_rl.data import card as cards
from medical_rl.data.checks.run import card_of
from medical_rl.errors import UserError
from medical_rl.sample import Sample


def rewrite(folder: Path, names: Sequence[str], change: Callable[[Sample], Sample], card: Mapping) -> dict[str, int]:
    """{file: rows changed} after `change` was put to every sample (without its images) of the files `names`.

    card  the new card, saved with the new checksums; {} where the folder has none

    A file whose rows all stay is not touched. All files are written before the first is moved, and the card is gone while they
    are, so that a mixture is never taken for whole. A column that was made of the sample (the prompt, say) is not made anew.
    """
    try:
        staging = tempfile.TemporaryDirectory(prefix=".rewriting-", dir=folder)
    except OSError as error:
        raise UserError(f"The folder {folder.absolute()} cannot be written: {error.strerror or error}.") from error
    with staging as scratch:
        counts = {name: _written(folder / name, Path(scratch, name), change) for name in names}
        moved = [name for name, changed in counts.items() if changed]
        if card:
            sums = {name: cards.sha256(Path(scratch, name)) for name in moved}
            card = {**card, "files": {**card["files"], **sums}}
        if moved:
            (folder / "card.json").unlink(missing_ok=True)
        for name in moved:
            os.replace(Path(scratch, name), folder / name)
        if card and card != card_of(folder):
            cards.save(card, folder)
    return counts


def _written(path: Path, out: Path, change: Callable[[Sample], Sample]) -> int:
    """The number of rows that differ in `out`, a copy of `path` held one row group at a time."""
    changed = 0
    try:
        with pq.ParquetFile(path) as file, pq.ParquetWriter(out, file.schema_arrow) as writer:
            column = file.schema_arrow.get_field_index("sample")
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                before = table.column(column).to_pylist()
                after = [change(Sample.from_json(text)).to_json() for text in before]
                changed += sum(one != other for one, other in zip(before, after, strict=True))
                field = file.schema_arrow.field(column)
                writer.write_table(table.set_column(column, field, pa.array(after, field.type)))
    except (pa.ArrowInvalid, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read back: {error!r}. `python -m medical_rl.data check` tells what is wrong."
        ) from error
    return changed
