"""A user's own table: where its rows are, and which column means what."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from medical_rl.data.options import BadOptions, clean
from medical_rl.data.sources import files, hub
from medical_rl.data.sources import tables as records
from medical_rl.data.sources.image_files import inside
from medical_rl.data.sources.tables import split_named
from medical_rl.data_preprocess.custom.cells import items, whole
from medical_rl.errors import UserError, unknown

FIELDS = (
    "id", "image", "question", "answer", "kind", "choices", "group", "split", "knowledge", "concepts", "thought", "report",
)  # fmt: skip
# What the meta of a row means to the program: a copy made to fill a batch is no repetition to the checks.
RESERVED = ("copy", "thought")
MAX_CLASSES = 100


class Table:
    """The rows (`read()`; `named()` with each its table), the column names found, {field: column}, and the folder of the images."""

    def __init__(self, source, columns, images, keep, revision) -> None:
        self.named, folder = opened(source, revision)
        self.images = Path(images).expanduser() if images else folder
        # Column names of JSON lines may differ from row to row.
        self.found = list(dict.fromkeys(str(key) for row in islice(self.read(), 100) for key in row))
        if not self.found:
            raise UserError(f"{source} has no rows.")
        self.names, self.keep = column_map(columns, self.found), tuple(keep)
        if missing := [column for column in self.keep if column not in self.found]:
            raise unknown("column to keep", missing[0], self.found)
        if taken := [column for column in self.keep if column in RESERVED]:
            raise UserError(
                f"The column {taken[0]!r} cannot be kept under its name: in a row's meta {' and '.join(RESERVED)} have a "
                "meaning of their own. Rename it in the table"
                + (", or map it with columns." if taken[0] in FIELDS else ".")
            )

    def read(self) -> Iterator[dict]:
        """The rows, from their first."""
        return (row for _, row in self.named())

    def images_seen(self) -> str:
        """A hash of the names, sizes and times of the image files named: what they hold is no part of the table."""
        digest = hashlib.sha256()
        for row in self.read():
            cell = row.get(self.names["image"])
            for name in _listed(cell):
                path = inside(self.images, name) if isinstance(name, str) else None
                found = path.stat() if path and path.is_file() else None
                digest.update(
                    repr((name if path else "", found and (found.st_size, found.st_mtime_ns))).encode()
                )
        return digest.hexdigest()


def _listed(cell) -> list:
    """What an image cell names; nothing where it cannot be read, which is told when its row is made."""
    try:
        return items(cell) if isinstance(cell, str | list) else []
    except BadOptions:
        return []


def classes(choices, answers: Iterable[str], kind: str, names: Mapping) -> tuple[str, ...]:
    """The classes of a label or grade: as given, else every answer of the table; () where rows have their own."""
    if choices or "choices" in names or kind not in ("label", "grade"):
        return tuple(map(str, choices or ()))
    answers = sorted({answer for answer in answers if answer})
    if kind == "grade":
        return tuple(sorted({grade for a in answers if (grade := whole(a)) is not None}, key=int))
    try:
        return clean(answers, lettered=False) if len(answers) <= MAX_CLASSES else ()
    except BadOptions as error:
        raise UserError(
            f"The classes {', '.join(answers)} cannot be told apart by a reward: {error}."
        ) from error


def opened(source, revision: str | None = None) -> tuple[Callable[[], Iterator[tuple[str, dict]]], Path]:
    """(a function that gives (table, row) anew, the folder that image paths start from); UserError where there are none.

    `table` is the split that one of several tables is for, and "" where there is one table.

    A table file; a folder with one table, or with one a split (train.csv, test.csv); a folder of class
    folders, or of split folders with class folders in them; or a Hub id.
    """
    if hub.is_hub_id(source):
        return lambda: _of_hub(source, revision), Path.cwd()
    path = Path(source or "").expanduser()
    if source and path.is_file():
        return lambda: _alone(records.read_rows(path)), path.parent
    files.source_folder(
        source, "Give a CSV, TSV, JSON, JSON lines or parquet file, a folder, or a Hub id (owner/name)."
    )
    tables = [p for p in sorted(path.iterdir()) if p.suffix.lower() in records.SUFFIXES]
    if len(tables) > 1 and all(split_named(table.stem) for table in tables):
        names = [split_named(table.stem) for table in tables]
        names = names if len(set(names)) == len(names) else [table.stem for table in tables]
        return lambda: _of_tables(zip(names, tables, strict=True)), path
    if len(tables) > 1:
        raise UserError(
            f"{path.absolute()} holds several tables: {', '.join(t.name for t in tables)}. Give one of them."
        )
    return lambda: _alone(records.read_rows(tables[0]) if tables else _of_class_folders(path)), path


def column_map(columns, found: list[str]) -> dict[str, str]:
    """{field: column} of those there are; `columns` is a mapping, or a list of "field=column". UserError for a wrong one."""
    if isinstance(columns, list | tuple):
        columns = {field: column for field, _, column in (part.partition("=") for part in columns)}
    given = {field: column for field, column in dict(columns or {}).items() if column is not None}
    for field, column in given.items():
        if field not in FIELDS:
            raise unknown("field that a column can be for", field, FIELDS)
        if column not in found:
            near = difflib.get_close_matches(str(column), found, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UserError(
                f"There is no column {column!r} for the {field}.{hint} The source has {', '.join(found)}."
            )
    named = {field: given.get(field, field if field in found else None) for field in FIELDS}
    if missing := [field for field in ("image", "answer") if named[field] is None]:
        raise UserError(
            f"Which column holds the {missing[0]}? The source has {', '.join(found)}; write "
            f"conf.data.params.columns.{missing[0]}=COLUMN (--columns {missing[0]}=COLUMN)."
        )
    return {field: column for field, column in named.items() if column is not None}


def _alone(rows: Iterable[dict]) -> Iterator[tuple[str, dict]]:
    return (("", row) for row in rows)


def _of_tables(tables: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, dict]]:
    return (
        (name, {"split": path.stem, **row}) for name, path in tables for row in records.read_rows(path)
    )


def _of_hub(source, revision: str | None) -> Iterator[tuple[str, dict]]:
    """Rows of every split of the Hub set, each with its split's name where it has no column `split` of its own."""
    for split in hub.splits(source, revision=revision):
        for row in hub.rows(source, split, revision=revision):
            yield split, {"split": split, **row}


def _of_class_folders(folder: Path) -> Iterator[dict]:
    """{image, answer[, split]} of images in class folders, or in split folders with class folders in them."""
    found = [path.relative_to(folder) for path in files.below(folder)]
    deep = [path for path in found if len(path.parts) > 1]
    if not deep:
        raise UserError(
            f"{folder.absolute()} holds no table and no class folders with images. Give a CSV, TSV, JSON, JSON lines or "
            "parquet file, or a folder with one folder of images a class."
        )
    by_split = all(split_named(path.parts[0]) and len(path.parts) > 2 for path in deep)
    for path in deep:
        row = {"image": str(path), "answer": path.parts[1 if by_split else 0]}
        yield {**row, "split": path.parts[0]} if by_split else row
