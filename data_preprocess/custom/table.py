"""A user's own table: where its rows are, and which column means what."""

import difflib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from medical_rl.data.options import BadOptions, clean_options, is_empty
from medical_rl.data.rows import Drops
from medical_rl.data.sources import files, hub, tables
from medical_rl.data.sources.grey_levels import read_levels
from medical_rl.data.sources.tables import split_of_word
from medical_rl.data_preprocess import file_names
from medical_rl.data_preprocess.custom import cells
from medical_rl.errors import UserError, check_known
from medical_rl.parsing.kinds import LETTERS

FIELDS = (
    "id", "image", "question", "answer", "kind", "choices", "group", "split", "knowledge", "concepts",
    "thought", "report",
)  # fmt: skip
# What the meta of a row means to the program: a copy made to fill a batch is no repetition to the checks.
RESERVED = ("copy", "thought")
NEEDED = ("image", "answer")
MAX_CLASSES = 100
# Text of so many bytes is held while a set is prepared; what is larger, or may hold images, is streamed anew.
HELD_BYTES = 1 << 26

TableRow = tuple[str, dict]
Columns = dict[str, str | list[str]]


class Table:
    """The rows of a source, its columns, {field: column or columns}, and the folder of its images."""

    def __init__(
        self, source, columns, images, keep, revision, kind="label", grey_levels="window", needed=NEEDED
    ) -> None:
        self._read, folder, held = _opened(source, revision)
        self._rows = list(self._read()) if held else None
        # The folder of a set on the Hub is the one the command was given in: it may hold anything.
        is_listed = bool(images) or not hub.is_hub_id(source)
        folder = Path(images).expanduser() if images else folder
        self.images = files.ImageFolder(folder, read_levels(grey_levels), is_listed)
        # Column names of JSON lines may differ from row to row.
        names: dict[str, None] = {}
        for row in islice(self.rows(), 100):
            names.update(dict.fromkeys(map(str, row)))
        self.columns = list(names)
        if not self.columns:
            raise UserError(f"{source} has no rows.")
        self.names, self.keep = column_map(columns, self.columns, kind, needed), tuple(keep)
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

    def cell(self, row: Mapping, field: str):
        """What a row has for a field, None for nothing; several columns are options or a box."""
        column = self.names.get(field)
        if not isinstance(column, list):
            cell = row.get(column)
            return None if is_empty(cell) else cell
        values = [row.get(name) for name in column]
        if all(map(is_empty, values)):
            return None
        if field == "choices":
            return values
        names = cells.CORNERS[0] if cells.sides_form(column) == "corners" else cells.SIZES[0]
        return dict(zip(names, values, strict=True))

    def image_cells(self, row: Mapping) -> list[bytes | str]:
        """The images that a row names or holds; BadOptions where its cell cannot be read."""
        return list(map(cells.image_value, cells.items(self.cell(row, "image"))))

    def pictures(self, row: Mapping, name: str, drops: Drops) -> list[bytes | None]:
        """The images of a row, encoded; None, told to `drops`, for one that cannot be used."""
        pictures = []
        for value in self.image_cells(row):
            if isinstance(value, bytes):
                pictures.append(files.checked_image(value, name, drops, self.images.grey_levels))
            else:
                pictures.append(self.images.read(value, name, drops))
        return pictures

    def image_state(self) -> str:
        """A hash of the names, sizes and times of the image files, which are no part of the table."""
        digest = hashlib.sha256()
        for row in self.rows():
            try:
                paths = [path for value in self.image_cells(row) for path in self.image_paths(value)]
            except BadOptions:  # told when its row is made
                continue
            for path in paths:
                status = path.stat()
                state = (status.st_size, status.st_mtime_ns)
                digest.update(repr((path.relative_to(self.images.root).as_posix(), state)).encode())
        return digest.hexdigest()

    def image_paths(self, value: bytes | str) -> list[Path]:
        """The files that an image cell's item may mean; [] for bytes, and for a name that is refused."""
        try:
            return [] if isinstance(value, bytes) else self.images.find(value)
        except UserError:
            return []


def column_map(columns, there: list[str], kind: str = "label", needed=NEEDED) -> Columns:
    """{field: column} of those there are; `columns` is a mapping, or a list of "field=column".

    The answer may be the four columns of a box, the choices columns called A, B, ... or choice_A, ...
    Raises UserError for a field that is `needed` and has no column.
    """
    if isinstance(columns, list | tuple):
        columns = dict(part.partition("=")[::2] for part in columns)
    given = {}
    for field, column in dict(columns or {}).items():
        if column is not None:
            check_known("field that a column can be for", field, FIELDS)
            given[field] = _named(field, column, there)
    names = {field: given.get(field, field) for field in FIELDS if field in given or field in there}
    if "choices" not in names and (kind == "choice" or "kind" in names):
        lettered = _lettered_columns(there, bare=kind == "choice")
        names |= {"choices": lettered} if lettered else {}
    if "answer" not in names and kind == "box":
        fitting = [list(four) for four in _runs_of_four(there) if cells.sides_form(four)]
        names |= {"answer": fitting[0]} if len(fitting) == 1 else {}
    for field in needed:
        if field not in names:
            raise UserError(
                f"Which column holds the {field}? The source has {', '.join(there)}; write "
                f"conf.data.params.columns.{field}=COLUMN (--columns {field}=COLUMN)."
            )
    return names


def _named(field: str, column, there: list[str]) -> str | list[str]:
    """The column, or columns, that a user names for a field."""
    several = column
    if isinstance(column, str) and column not in there and "," in column:
        several = column.split(",")
    names = [str(column)] if isinstance(several, str) else list(map(str, several))
    for name in names:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UserError(
                f"There is no column {name!r} for the {field}.{hint} The source has {', '.join(there)}."
            )
    if isinstance(several, str):
        return names[0]
    if field not in ("answer", "choices"):
        raise UserError(f"The {field} is in one column, and not in {len(names)}: {', '.join(names)}.")
    if field == "answer" and not cells.sides_form(names):
        raise UserError(
            f"The columns {', '.join(names)} do not say whether they are a box's corners (x1, y1, x2, y2) or "
            "its corner with width and height (x, y, w, h): rename them in the table."
        )
    return names


def _lettered_columns(there: list[str], bare: bool) -> list[str]:
    """The columns choice_A, choice_B, ... (or option_A, or, where `bare`, A, B, ...); [] without A and B."""
    by_prefix: dict[str, dict[str, str]] = {}
    for name in there:
        mark = re.fullmatch(r"(choice|option|opt)?[ _-]?([A-Za-z])", name, re.IGNORECASE)
        if mark and (mark[1] or bare):
            by_prefix.setdefault((mark[1] or "").lower(), {})[mark[2].upper()] = name
    for letters in by_prefix.values():
        if "".join(sorted(letters)) == LETTERS[: len(letters)] and len(letters) > 1:
            return [letters[letter] for letter in sorted(letters)]
    return []


def _runs_of_four(there: list[str]) -> Iterator[tuple[str, ...]]:
    return zip(there, there[1:], there[2:], there[3:], strict=False)


def classes(choices, answers: Iterable[str], kind: str, names: Mapping) -> tuple[str, ...]:
    """The classes of a label or grade: as given, else every answer; () where rows have their own."""
    if choices or "choices" in names or kind not in ("label", "grade"):
        return tuple(map(str, choices or ()))
    different = sorted(set(filter(None, answers)))
    if kind == "grade":
        return tuple(sorted(set(filter(None, map(cells.whole_number, different))), key=int))
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
    paths = [path.relative_to(folder) for path in files.below(folder, files.READABLE)]
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
