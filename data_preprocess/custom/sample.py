"""A user's own row as a sample: its cells read, its images opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medical_rl.data.drops import Drops
from medical_rl.data.options import BadOptions
from medical_rl.data.sources.image_files import read_image, usable
from medical_rl.data_preprocess.custom.cells import answer_of, items
from medical_rl.data_preprocess.custom.splits import Place
from medical_rl.data_preprocess.custom.table import Table
from medical_rl.images import image_size
from medical_rl.sample import KINDS, Sample


def sample(
    row: Mapping, place: Place, table: Table, fixed: dict, common: dict, drops: Drops
) -> Sample | None:
    """The sample of one row; None, told to `drops`, where an image of it cannot be used; BadOptions where its cells do not fit.

    fixed   what every row has that has no column for it: kind, question, choices
    common  fields of the sample that are the same for all rows: source, restricted
    """

    def cell(field: str):
        value = row.get(table.names.get(field))
        return fixed.get(field) if value in (None, "") else value

    kind = str(cell("kind") or "")
    if kind not in KINDS:
        raise BadOptions(f"its kind is none of {', '.join(KINDS)}")
    if not str(cell("question") or "").strip():
        raise BadOptions("it has no question")
    names = items(row.get(table.names["image"]))
    pictures = [_picture(name, place.row, table.images, drops) for name in names]
    if not pictures or None in pictures:
        return drops.add(place.row, "it has no image")
    sizes = [image_size(picture) for picture in pictures]
    answer, choices = answer_of(kind, cell("answer"), items(cell("choices")), sizes)
    meta = {column: row.get(column) for column in table.keep} | (
        {"report": str(cell("report"))} if cell("report") else {}
    )
    return Sample(
        id=place.id,
        question=str(cell("question")).strip(),
        kind=kind,
        answer=answer,
        choices=choices,
        images=tuple(pictures),
        group=place.group,
        split=place.split,
        concepts=tuple(map(str, items(cell("concepts")))),
        knowledge=str(cell("knowledge") or ""),
        size=sizes[0],
        meta=meta | ({"thought": str(cell("thought"))} if cell("thought") else {}),
        **common,
    )


def _picture(value, row: str, folder: Path, drops: Drops) -> bytes | None:
    """The image of a cell: a path below `folder`, bytes, or `{"bytes", "path"}` as parquet and the Hub hold it."""
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    return (
        usable(value, row, drops) if isinstance(value, bytes) else read_image(folder, str(value), row, drops)
    )
