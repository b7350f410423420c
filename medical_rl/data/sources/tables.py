"""Tables row by row: CSV, TSV, JSON, JSON lines or parquet; every oddity is told with its line."""

import contextlib
import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medical_rl.data.sources import files
from medical_rl.errors import UserError

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
_BATCH = 64


def read_rows(path: Path) -> Iterator[dict]:
    """The rows of a file of one of SUFFIXES, in order; UserError for anything that is not such a file."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path.absolute()} is none of the files that can be read: {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise UserError(f"There is no file {path.absolute()}.")
    if suffix in (".csv", ".tsv"):
        return (row for _, row in read_table(path, ()))
    with path.open("rb") as file:
        if files.is_lfs_pointer(file.read(64)):
            raise UserError(
                f"{path.absolute()} is a git-lfs pointer, not the file itself (git lfs pull fetches it)."
            )
    return _parquet_rows(path) if suffix == ".parquet" else _json_rows(path)


def _json_rows(path: Path) -> Iterator[dict]:
    """The objects of a JSON or JSON lines file, whichever of the two it holds.

    JSON may be a list; an object with one list in it, or a list a split; or an object of objects, whose key
    is then the column `key`.
    """
    with path.open("rb") as file:
        whole = file.read(1 << 12).decode("utf-8-sig", "replace").lstrip().startswith("[")
    if path.suffix.lower() == ".jsonl" and not whole:
        yield from _json_lines(path)
        return
    content = read_json(path)
    if not isinstance(content, dict):
        yield from read_objects(path, ())
        return
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    if lists and (len(lists) == 1 or all(map(split_of_word, lists))):
        for key, rows in lists.items():
            if not all(isinstance(row, dict) for row in rows):
                raise UserError(f"The list {key!r} of {path.absolute()} should hold JSON objects alone.")
            split = {"split": key} if len(lists) > 1 else {}
            yield from ({**split, **row} for row in rows)
    elif content and all(isinstance(value, dict) for value in content.values()):
        yield from ({"key": key, **row} for key, row in content.items())
    else:
        raise UserError(
            f"{path.absolute()} should hold a JSON list, an object with one list (or one a split), or an "
            f"object of objects; it is an object with {', '.join(map(repr, list(content)[:5])) or 'nothing'}."
        )


def _json_lines(path: Path) -> Iterator[dict]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"Line {number} of {path.absolute()}"
                row = parse_json(line, where)
                if not isinstance(row, dict):
                    raise UserError(f"{where} is no JSON object but {type(row).__name__}.")
                yield row


def _parquet_rows(path: Path) -> Iterator[dict]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                yield from batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path.absolute()} cannot be read as parquet: {error}.") from error


def read_table(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, {column: text without surrounding space}) of every row of a CSV or TSV file.

    Raises UserError where a needed column is missing, a column is there twice, or a row has another length.
    """
    with _opened(path) as (names, reader):
        missing = [name for name in needed if name not in names]
        if missing:
            columns = ", ".join(names) or "no columns"
            raise UserError(f"{path.absolute()} lacks the columns {', '.join(missing)}; it has {columns}.")
        twice = sorted(name for name, count in Counter(names).items() if count > 1 and name)
        if twice:
            raise UserError(f"{path.absolute()} has the columns {', '.join(twice)} twice.")
        for cells in reader:
            cells = list(map(str.strip, cells))
            if not any(cells):
                continue
            line = reader.line_num + 1
            while len(cells) > len(names) and not cells[-1]:
                cells.pop()
            if len(cells) != len(names):
                raise UserError(
                    f"Line {line} of {path.absolute()} has {len(cells)} cells; its header has {len(names)}."
                )
            row = {}
            for number, (name, cell) in enumerate(zip(names, cells, strict=True), start=1):
                # Spreadsheets leave nameless columns at the end; one that holds something has its number.
                if name or cell:
                    row[name or f"column {number}"] = cell
            yield line, row


def column_names(path: Path) -> list[str]:
    """The column names of a CSV or TSV file, [] for an empty one; UserError if it is no table."""
    with _opened(path) as (names, _):
        return list(filter(None, names))


def find_table(
    folder: Path, forms: Sequence[Sequence[str]], name: str | None, what: str, known: str = ""
) -> Path:
    """The table `name` of the folder; without a name the one called `known`, else the only one of a form.

    forms  lists of columns; a table that has all of one of them fits

    Raises UserError, saying `what` is sought, where there is none or no telling which.
    """
    if name is not None:
        path = folder / name
        if not path.is_file():
            raise UserError(
                f"There is no table {path.absolute()}; give `table` as a path within {folder.absolute()}."
            )
        return path
    candidates = table_files(folder, known)
    fitting = [path for path in candidates if known and path.stem == known]
    if not fitting:
        fitting = [file for file in candidates if any(map(set(column_names(file)).issuperset, forms))]
    if len(fitting) != 1:
        problem = "Several tables fit" if fitting else "No table fits"
        there = ", ".join(path.relative_to(folder).as_posix() for path in fitting or candidates) or "none"
        columns = "; or ".join(map(", ".join, forms))
        raise UserError(
            f"{problem} in {folder.absolute()} (there: {there}). {what} has the columns {columns}. "
            "Name the right one with `table`."
        )
    return fitting[0]


def table_files(folder: Path, known: str = "") -> list[Path]:
    """The files below a folder that may be tables; `known` may have no extension, as Dataverse gives it."""
    bare = [path for path in files.below(folder, ("",)) if path.name == known]
    return bare + files.below(folder, (".csv", ".tab", ".tsv"))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[list[str], Any]]:
    """(column names, the reader of the other rows); whatever is wrong in the file is told with its path."""

    def lines(file) -> Iterator[str]:
        for number, line in enumerate(file):
            if number == 0 and files.is_lfs_pointer(line.encode()):
                raise UserError(f"{path.absolute()} is a git-lfs pointer, not the table itself.")
            yield line

    reader = None
    try:
        # A byte order mark is Excel's; newline="" leaves line ends within quotes to csv.
        with path.open(encoding="utf-8-sig", newline="") as file:
            rest = lines(file)
            header = next(rest, "")
            delimiter = max(",\t;", key=header.count)  # what the header uses most
            names = list(map(str.strip, next(csv.reader([header], delimiter=delimiter), [])))
            reader = csv.reader(rest, delimiter=delimiter)
            yield names, reader
    except csv.Error as error:
        line = reader.line_num + 1 if reader else 1
        raise UserError(f"Line {line} of {path.absolute()} is not a table's: {error}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path.absolute()} is not UTF-8 text: {error}. Save it again as UTF-8.") from error
    except OSError as error:
        raise UserError(f"{path.absolute()} cannot be read: {error.strerror or error}.") from error


def split_of_word(text) -> str:
    """The split that a word means, or "" where it means none.

    >>> split_of_word(" Validation"), split_of_word("fold 3")
    ('val', '')
    """
    word = str(text).strip().casefold()
    for split, names in SPLIT_NAMES.items():
        if word in names:
            return split
    return ""


def read_json(path: Path) -> Any:
    """The content of a JSON file; UserError where it is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path.absolute()} cannot be read as JSON: {error}.") from error
    return parse_json(data, str(path.absolute()))


def parse_json(data: bytes, where: str) -> Any:
    """The content of UTF-8 JSON; UserError naming `where` it stood."""
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        # ValueError is what both wrong UTF-8 and wrong JSON raise.
        raise UserError(f"{where} cannot be read as JSON: {error}.") from error


def read_objects(path: Path, keys: Sequence[str]) -> list[dict]:
    """The objects of a JSON list, each with `keys`; UserError naming the first that lacks one."""
    entries = read_json(path)
    if not isinstance(entries, list):
        raise UserError(f"{path.absolute()} should hold a JSON list, and holds a {type(entries).__name__}.")
    for number, entry in enumerate(entries):
        where = f"Entry {number} of {path.absolute()}"
        if not isinstance(entry, dict):
            raise UserError(f"{where} is no JSON object but {type(entry).__name__}.")
        missing = [key for key in keys if key not in entry]
        if missing:
            raise UserError(f"{where} lacks {', '.join(missing)}; it has {', '.join(entry) or 'nothing'}.")
    return entries


def read_lines(path: Path) -> Iterator[tuple[int, dict | None]]:
    """(line, object) of a JSON Lines file, None for a line that is no object; UserError if it is no text."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    record = None
                yield number, record if isinstance(record, dict) else None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path.absolute()} cannot be read as JSON lines: {error}.") from error
