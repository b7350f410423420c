"""A user's own table: where its rows are, which column means what, and what a cell is for a row's kind."""

import difflib
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from medical_rl.data.options import BadOptions, clean_options, matching_option, option_at_letter
from medical_rl.data.sources import files, hub, tables
from medical_rl.data.sources.files import path_inside
from medical_rl.data.sources.tables import split_of_word
from medical_rl.data_preprocess import file_names
from medical_rl.errors import UserError, check_known
from medical_rl.parsing.response import normalise

FIELDS = (
    "id", "image", "question", "answer", "kind", "choices", "group", "split", "knowledge", "concepts",
    "thought", "report",
)  # fmt: skip
# What the meta of a row means to the program: a copy made to fill a batch is no repetition to the checks.
RESERVED = ("copy", "thought")
MAX_CLASSES = 100
# Text of so many bytes is held while a set is prepared; what is larger, or may hold images, is streamed anew.
HELD_BYTES = 1 << 26
_NUMBER = r"[-+]?\d+(?:\.\d+)?"

TableRow = tuple[str, dict]


class Table:
    """The rows of a source, the names of its columns, {field: column}, and the folder of its images."""

    def __init__(self, source, columns, images, keep, revision) -> None:
        self._read, folder, held = _opened(source, revision)
        self._rows = list(self._read()) if held else None
        self.folder = Path(images).expanduser() if images else folder
        # Column names of JSON lines may differ from row to row.
        names: dict[str, None] = {}
        for row in islice(self.rows(), 100):
            names.update(dict.fromkeys(map(str, row)))
        self.columns = list(names)
        if not self.columns:
            raise UserError(f"{source} has no rows.")
        self.names, self.keep = column_map(columns, self.columns), tuple(keep)
        for column in self.keep:
            check_known("column to keep", column, self.columns)
            if column in RESERVED:
                mapped = ", or map it with columns." if column in FIELDS else "."
                raise UserError(
                    f"The column {column!r} cannot be kept under its name: in a row's meta "
                    f"{' and '.join(RESERVED)} have a meaning of their own. Rename it in the table{mapped}"
                )

    def table_rows(self) -> Iterable[TableRow]:
        """(table, row) from the first on; `table` names one of several tables, "" where there is one."""
        return self._read() if self._rows is None else self._rows

    def rows(self) -> Iterator[dict]:
        """The rows, from the first on."""
        return (row for _, row in self.table_rows())

    def image_state(self) -> str:
        """A hash of the names, sizes and times of the image files, which are no part of the table."""
        digest = hashlib.sha256()
        for row in self.rows():
            cell = row.get(self.names["image"])
            try:
                names = items(cell) if isinstance(cell, str | list) else []
            except BadOptions:  # told when its row is made
                continue
            for name in names:
                path = path_inside(self.folder, name) if isinstance(name, str) else None
                state = None
                if path and path.is_file():
                    state = (path.stat().st_size, path.stat().st_mtime_ns)
                digest.update(repr((name if path else "", state)).encode())
        return digest.hexdigest()


def column_map(columns, there: list[str]) -> dict[str, str]:
    """{field: column} of those there are; `columns` is a mapping, or a list of "field=column"."""
    if isinstance(columns, list | tuple):
        columns = dict(part.partition("=")[::2] for part in columns)
    given = {field: column for field, column in dict(columns or {}).items() if column is not None}
    for field, column in given.items():
        check_known("field that a column can be for", field, FIELDS)
        if column not in there:
            near = difflib.get_close_matches(str(column), there, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UserError(
                f"There is no column {column!r} for the {field}.{hint} The source has {', '.join(there)}."
            )
    names = {}
    for field in FIELDS:
        if field in given or field in there:
            names[field] = given.get(field, field)
    for field in ("image", "answer"):
        if field not in names:
            raise UserError(
                f"Which column holds the {field}? The source has {', '.join(there)}; write "
                f"conf.data.params.columns.{field}=COLUMN (--columns {field}=COLUMN)."
            )
    return names


def classes(choices, answers: Iterable[str], kind: str, names: Mapping) -> tuple[str, ...]:
    """The classes of a label or grade: as given, else every answer; () where rows have their own."""
    if choices or "choices" in names or kind not in ("label", "grade"):
        return tuple(map(str, choices or ()))
    different = sorted(set(filter(None, answers)))
    if kind == "grade":
        return tuple(sorted(set(filter(None, map(whole_number, different))), key=int))
    try:
        return clean_options(different, lettered=False) if len(different) <= MAX_CLASSES else ()
    except BadOptions as error:
        told = f"The classes {', '.join(different)} cannot be told apart by a reward: {error}."
        raise UserError(told) from error


def _opened(source, revision: str | None) -> tuple[Callable[[], Iterator[TableRow]], Path, bool]:
    """(a function that gives the rows anew, the folder of the image paths, whether to hold the rows).

    The source is a table file; a folder with one table, or with one a split (train.csv, test.csv); a folder
    of class folders, or of split folders with class folders in them; or a Hub id. Raises UserError for
    anything else.
    """
    if hub.is_hub_id(source):
        return lambda: _hub_rows(source, revision), Path.cwd(), False
    path = Path(source or "").expanduser()
    if source and path.is_file():
        folder, paths, names = path.parent, [path], [""]
    else:
        folder, paths, names = path, *_tables_of_folder(source, path)
    if not paths:
        return lambda: _class_folder_rows(path), path, True
    is_text = all(path.suffix.lower() != ".parquet" for path in paths)
    held = is_text and sum(path.stat().st_size for path in paths) <= HELD_BYTES
    return lambda: _file_rows(dict(zip(paths, names, strict=True))), folder, held


def _tables_of_folder(source, path: Path) -> tuple[list[Path], list[str]]:
    """The tables of a folder and the name of each ("" of the only one); none where it holds class folders."""
    what = "Give a CSV, TSV, JSON, JSON lines or parquet file, a folder, or a Hub id (owner/name)."
    files.source_folder(source, what)
    paths = [file for file in sorted(path.iterdir()) if file.suffix.lower() in tables.SUFFIXES]
    names = [split_of_word(file.stem) for file in paths]
    if len(paths) < 2:
        names = [""] * len(paths)
    elif not all(names):
        raise UserError(f"{path.absolute()} holds several tables: {file_names(paths)}. Give one of them.")
    elif len(set(names)) < len(names):
        names = [file.stem for file in paths]
    return paths, names


def _file_rows(names: Mapping[Path, str]) -> Iterator[TableRow]:
    """The rows of table files; of several, each with its file's name as its `split` if it has none."""
    for path, name in names.items():
        for row in tables.read_rows(path):
            yield name, {"split": path.stem, **row} if name else row


def _hub_rows(source, revision: str | None) -> Iterator[TableRow]:
    """The rows of every split of the Hub set, each with its name as its `split` if it has none."""
    for split in hub.splits(source, revision=revision):
        for row in hub.rows(source, split, revision=revision):
            yield split, {"split": split, **row}


def _class_folder_rows(folder: Path) -> Iterator[TableRow]:
    """{image, answer[, split]} of images in class folders, or in split folders with class folders in them."""
    paths = [path.relative_to(folder) for path in files.below(folder)]
    deep = [path for path in paths if len(path.parts) > 1]
    if not deep:
        raise UserError(
            f"{folder.absolute()} holds no table and no class folders with images. Give a CSV, TSV, JSON, "
            "JSON lines or parquet file, or a folder with one folder of images a class."
        )
    by_split = all(len(path.parts) > 2 and split_of_word(path.parts[0]) for path in deep)
    for path in deep:
        split = {"split": path.parts[0]} if by_split else {}
        yield "", {"image": str(path), "answer": path.parts[1 if by_split else 0], **split}


def items(cell) -> list:
    """What a cell lists: a list as it is, a text as JSON where it is a JSON list, else cut at "|".

    >>> items("a.png | b.png"), items('["yes, mild", "no"]'), items(None)
    (['a.png', 'b.png'], ['yes, mild', 'no'], [])
    """
    if cell is None or cell == "":
        return []
    if isinstance(cell, list | tuple):
        return list(cell)
    if not isinstance(cell, str):
        return [cell]
    if cell.lstrip().startswith("["):
        try:
            return list(json.loads(cell))
        except (json.JSONDecodeError, RecursionError) as error:
            raise BadOptions("a cell that starts with [ is not a JSON list") from error
    return list(map(str.strip, cell.split("|")))


def image_value(cell):
    """What one item of an image cell is: a path, or bytes; parquet and the Hub hold `{"bytes", "path"}`."""
    return (cell.get("bytes") or cell.get("path")) if isinstance(cell, Mapping) else cell


def whole_number(cell) -> str | None:
    """The digits of a whole number, None where it is none; spreadsheets write "2.0".

    >>> whole_number("02"), whole_number(2.0), whole_number("1.5"), whole_number("²"), whole_number("-1")
    ('2', '2', None, None, None)
    """
    number = re.fullmatch(r"([0-9]{1,18})(\.0+)?", str(cell).strip())
    return str(int(number[1])) if number else None


def answer_of(kind: str, cell, choices: Sequence, sizes: Sequence) -> tuple[str, tuple[str, ...]]:
    """(answer, choices) in the form of a `Sample` of that kind.

    choices  the row's options, or the classes of the whole table
    sizes    (height, width) of the row's images; a box must lie within the first
    """
    if cell is None or not str(cell).strip():
        raise BadOptions("it has no answer")
    if kind == "label":
        options = tuple(map(str.strip, map(str, choices)))
        return (matching_option(cell, options) if options else str(cell).strip()), options
    if kind == "choice":
        options = clean_options(choices)
        try:
            return matching_option(cell, options), options
        except BadOptions:
            return matching_option(option_at_letter(cell, list(choices)), options), options
    if kind == "yes_no":
        word = {True: "yes", False: "no"}[cell] if isinstance(cell, bool) else normalise(str(cell))
        if word not in ("yes", "no"):
            raise BadOptions("its answer is neither yes nor no")
        return word, ("yes", "no")
    if kind == "grade":
        grade = whole_number(cell)
        if grade is None:
            raise BadOptions("its answer is no whole number")
        return grade, tuple(map(str, choices))
    return _box(cell, sizes), ()


def _box(cell, sizes) -> str:
    """One box or several, in pixels of the first image; the order is x1, y1, x2, y2."""
    text = json.dumps(cell) if isinstance(cell, list | tuple) else str(cell)
    between = r"[\[\](),;\s]"
    if not re.fullmatch(rf"{between}*{_NUMBER}(?:{between}+{_NUMBER})*{between}*", text):
        raise BadOptions("its box is not four numbers")
    numbers = [float(number) if "." in number else int(number) for number in re.findall(_NUMBER, text)]
    if len(numbers) % 4 or not all(map(math.isfinite, numbers)):
        raise BadOptions("its box is not four numbers")
    boxes = [numbers[i : i + 4] for i in range(0, len(numbers), 4)]
    for x1, y1, x2, y2 in boxes:
        if not (x1 < x2 and y1 < y2):
            raise BadOptions("its box is empty: x1 < x2 and y1 < y2 are needed")
        if sizes and not (x1 >= 0 and y1 >= 0 and x2 <= sizes[0][1] and y2 <= sizes[0][0]):
            raise BadOptions("its box reaches outside the image")
    return json.dumps(boxes[0] if len(boxes) == 1 else boxes)
