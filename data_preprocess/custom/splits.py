"""Which row of a user's own table is in which split: as the table says, else drawn."""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medical_rl.data.options import BadOptions
from medical_rl.data.prepare.sampling import first_with_same_content, link_rows, split_by_group
from medical_rl.data.rows import Drops
from medical_rl.data.sources.files import path_inside
from medical_rl.data.sources.tables import split_of_word
from medical_rl.data_preprocess.custom.cells import name_of
from medical_rl.data_preprocess.custom.table import Table

NO_SPLIT = "its split is none of train, val and test"


@dataclass
class Place:
    """One row's id, group and split; `split` is "" for a row that is left out.

    links      what ties it to other rows in a draw: its images (path, or hash of bytes), its own group's name
    has_group  whether the table itself gives the group
    table      which of several tables holds the row, "" where there is one
    """

    row: str
    id: str
    group: str
    split: str
    answer: str
    links: tuple[str | Path, ...]
    has_group: bool
    table: str


def places(table: Table, shares: Mapping[str, float], seed: int, drops: Drops) -> list[Place]:
    """The place of every row, in order; `shares` are of val and test where the table does not name them.

    Without a split column everything is drawn; with one, a split that it never names is drawn from its
    train rows. In a draw rows of one group, or that share an image (by path or by bytes), stay together.
    """
    placed = []
    for number, (name, row) in enumerate(table.table_rows(), start=1):
        try:
            placed.append(_place(name, row, number, table))
        except BadOptions as error:
            drops.add(f"row {number}", str(error))
            placed.append(Place(f"row {number}", f"row {number}", "", "left out", "", (), False, name))
    # An id that several tables have, each counting from 0, say, is <table>/<id> in all of them.
    tables = defaultdict(set)
    for place in placed:
        tables[place.id].add(place.table)
    ids: set[str] = set()
    for place in placed:
        if len(tables[place.id]) > 1:
            place.id = f"{place.table}/{place.id}"
        if place.id in ids:
            drops.add(place.row, "its id is taken by another row")
            place.split = "left out"
        ids.add(place.id)
        if "split" in table.names:
            split = split_of_word(place.split)
            if not split:
                drops.add(place.row, NO_SPLIT, repr(place.split))
            place.split = split
    given = {place.split for place in placed} if "split" in table.names else set()
    wanted = {split: share for split, share in shares.items() if share and split not in given}
    if wanted:
        elsewhere = {place.group for place in placed if place.split not in ("train", "")}
        _draw([place for place in placed if place.split == "train"], wanted, seed, elsewhere)
    return placed


def _place(name: str, row: Mapping, number: int, table: Table) -> Place:
    def text(field: str) -> str:
        return name_of(table.cell(row, field), f"its {field}")

    row_id, group, images = text("id"), text("group"), _image_keys(row, table)
    split = text("split") if "split" in table.names else "train"
    try:
        answer = text("answer")
    except BadOptions:  # a box may be a list or an object; any other is told when its row is made
        answer = ""
    first = images[0] if images else row_id or f"row {number}"
    if isinstance(first, Path):
        # Below the folder, so that a set in another folder is split alike.
        first = first.relative_to(table.images.root).as_posix()
    return Place(
        row=f"row {number} ({row_id})" if row_id else f"row {number}",
        id=row_id or f"row {number}",
        group=group or first,
        split=split,
        answer=answer,
        links=(*images, f"group {group}") if group else images,
        has_group=bool(group),
        table=name,
    )


def _image_keys(row: Mapping, table: Table) -> tuple[str | Path, ...]:
    """A key for each image: its path, or the hash of its bytes; () for a cell that cannot be read."""
    try:
        values = table.image_cells(row)
    except BadOptions:
        return ()
    keys: list[str | Path] = []
    for value in values:
        if isinstance(value, bytes):
            keys.append(hashlib.sha256(value).hexdigest())
        else:
            keys += table.image_paths(value)[:1] or [path_inside(table.images.root, value) or value]
    return tuple(keys)


def _draw(placed: list[Place], shares: Mapping[str, float], seed: int, elsewhere: set[str]) -> None:
    """Set the split of the rows, classes in their proportions where answers are classes.

    Rows without a group of their own take that of the rows they are linked to; a group that the table names,
    and one that is `elsewhere`, in a split it gives, stays: so a patient who is in two splits is seen.
    """
    links = itertools.chain.from_iterable(place.links for place in placed)
    first = first_with_same_content(key for key in links if isinstance(key, Path))
    keys = [{first.get(key, key) for key in place.links} for place in placed]
    groups = [placed[index].group for index in link_rows(keys)]
    answers = [place.answer for place in placed]
    # Answers that are nearly all different are no classes: a draw within each would put all into train.
    if len(set(answers)) > max(2, len(set(groups)) // 10):
        answers = [""] * len(placed)
    split_of = split_by_group(zip(groups, answers, strict=True), shares, seed)
    for place, group in zip(placed, groups, strict=True):
        place.split = split_of[group]
        if not place.has_group and place.group not in elsewhere:
            place.group = group
