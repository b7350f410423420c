"""Which row of a user's own table is in which split: as the table says, and drawn where it says nothing."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from medical_rl.data.drops import Drops
from medical_rl.data.options import BadOptions
from medical_rl.data.prepare.grouped import grouped, linked, same_content
from medical_rl.data.sources.image_files import inside
from medical_rl.data.sources.tables import split_named
from medical_rl.data_preprocess.custom.cells import items


@dataclass
class Place:
    """One row's id, group and split; `split` is "" for a row that is left out.

    named  whether the table itself gives the group
    table  which of several tables holds the row, "" where there is one
    """

    row: str
    id: str
    group: str
    split: str
    answer: str
    images: tuple[str | Path, ...]
    named: bool
    table: str


def places(
    rows: Iterable[tuple[str, dict]], names: Mapping, root: Path, shares: Mapping, seed: int, drops: Drops
) -> list[Place]:
    """The place of every (table, row), in order; `shares` are those of val and test where the table does not name them.

    Without a split column everything is drawn; with one, a split that it never names is drawn from its
    train rows. In a draw rows of one group, or that share an image (by path or by bytes), stay together.
    """
    found = [_read(table, row, number, names, root) for number, (table, row) in enumerate(rows, start=1)]
    _tell_tables_apart(found)
    _refuse_repeated_ids(found, drops)
    if "split" in names:
        _refuse_unknown_splits(found, drops)
    given = {place.split for place in found} if "split" in names else set()
    wanted = {split: share for split, share in shares.items() if split not in given and share}
    if wanted:
        elsewhere = {place.group for place in found if place.split not in ("train", "")}
        _draw([place for place in found if place.split == "train"], wanted, seed, elsewhere)
    return found


def reported(rows: Iterable[Mapping], column: str, placed: Iterable[Place]) -> Iterator[dict]:
    """{id, text, study, split} of the reports in `column`, each once for its group; none of a row that is left out."""
    seen = set()
    for row, place in zip(rows, placed, strict=True):
        text = str(row.get(column) or "").strip()
        if text and split_named(place.split) and (place.group, text) not in seen:
            seen.add((place.group, text))
            yield {"id": place.id, "text": text, "study": place.group, "split": place.split}


def _read(table: str, row: Mapping, number: int, names: Mapping, root: Path) -> Place:
    def text(field: str) -> str:
        value = row.get(names.get(field))
        return "" if value is None else str(value).strip()

    row_id, images = text("id"), _images(row.get(names["image"]), root)
    return Place(
        row=f"row {number}" + (f" ({row_id})" if row_id else ""),
        id=row_id or f"row {number}",
        group=text("group") or _named(next(iter(images), row_id or f"row {number}"), root),
        split=text("split") if "split" in names else "train",
        answer=text("answer"),
        images=(*images, *((f"group {text('group')}",) if text("group") else ())),
        named=bool(text("group")),
        table=table,
    )


def _named(first: str | Path, root: Path) -> str:
    """The group of a row that names none: its first image, below `root`, so that a set in another folder is split alike."""
    return first.relative_to(Path(os.path.abspath(root))).as_posix() if isinstance(first, Path) else first


def _images(cell, root: Path) -> tuple[str | Path, ...]:
    """A key for each image: its path, or the hash of its bytes; a cell that cannot be read is told when its row is made."""
    try:
        values = items(cell)
    except BadOptions:
        return ()
    keys = []
    for value in values:
        value = (value.get("bytes") or value.get("path")) if isinstance(value, Mapping) else value
        keys.append(
            hashlib.sha256(value).hexdigest()
            if isinstance(value, bytes)
            else inside(root, str(value)) or str(value)
        )
    return tuple(keys)


def _tell_tables_apart(found: list[Place]) -> None:
    """None; an id that several tables have, each counting from 0, say, becomes `<table>/<id>` in all of them."""
    tables: dict[str, set[str]] = defaultdict(set)
    for place in found:
        tables[place.id].add(place.table)
    for place in found:
        if len(tables[place.id]) > 1:
            place.id = f"{place.table}/{place.id}"


def _refuse_repeated_ids(found: list[Place], drops: Drops) -> None:
    ids: set[str] = set()
    for place in found:
        if place.id in ids:
            drops.add(place.row, "its id is taken by another row")
            place.split = "left out"
        ids.add(place.id)


def _refuse_unknown_splits(found: list[Place], drops: Drops) -> None:
    for place in found:
        said, place.split = place.split, split_named(place.split)
        if not place.split:
            drops.add(place.row, "its split is none of train, val and test", repr(said))


def _draw(found: list[Place], shares: Mapping[str, float], seed: int, elsewhere: set[str]) -> None:
    """None; sets the split of the rows. Classes keep their proportions where answers are classes.

    Rows without a group of their own take that of the rows they are linked to; a group that the table names, and one
    that is `elsewhere`, in a split it gives, stays: only so is it seen that a patient is in two splits.
    """
    first = same_content(key for place in found for key in place.images if isinstance(key, Path))
    together = linked([{first.get(key, key) for key in place.images} for place in found])
    groups = [found[index].group for index in together]
    # Answers that are nearly all different are no classes: a draw within each would put everything into train.
    classes = len({place.answer for place in found}) <= max(2, len(set(groups)) // 10)
    placed = grouped(
        zip(groups, (place.answer if classes else "" for place in found), strict=True), shares, seed
    )
    for place, group in zip(found, groups, strict=True):
        place.split = placed[group]
        if not place.named and place.group not in elsewhere:
            place.group = group
