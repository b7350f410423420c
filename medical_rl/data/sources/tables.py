"""Tables as text: a CSV or TSV file row by row, every column named, every oddity told with its line.

Rows of a file as dicts: CSV, TSV, JSON (a list of objects), JSON lines or parquet.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medical_rl.data.sources import files, json_files
from medical_rl.data.sources.files import is_pointer
from medical_rl.errors import UserError


def read(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, {column: text without surrounding space}) of every row; UserError where a needed column is missing."""
    names = columns(path)
    if missing := [name for name in needed if name not in names]:
        raise UserError(
            f"{path.absolute()} lacks the columns {', '.join(missing)}; it has {', '.join(names) or 'no columns'}."
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{path.absolute()} has the columns {', '.join(twice)} twice.")
    with _opened(path) as lines:
        reader = csv.reader(lines, delimiter=_delimiter(next(lines)))
        for cells in _rows(reader, path):
            if not any(cell.strip() for cell in cells):
                continue
            line = reader.line_num + 1
            if len(cells) != len(names):
                raise UserError(
                    f"Line {line} of {path.absolute()} has {len(cells)} cells; its header has {len(names)}."
                )
            yield line, {name: cell.strip() for name, cell in zip(names, cells, strict=True)}


def columns(path: Path) -> list[str]:
    """The column names of a table, [] for an empty file; UserError if it is no table."""
    with _opened(path) as lines:
        header = next(lines, "")
    return [
        name.strip() for name in next(_rows(csv.reader([header], delimiter=_delimiter(header)), path), [])
    ]


def find(folder: Path, forms: Sequence[Sequence[str]], name: str | None, what: str, known: str = "") -> Path:
    """The table `name` of the folder; without a name the one called `known`, else the only one with the columns of a form.

    UserError, saying `what` is sought, where there is none or no telling which.
    """
    if name is not None:
        if not (path := folder / name).is_file():
            raise UserError(
                f"There is no table {path.absolute()}; give `table` as a path within {folder.absolute()}."
            )
        return path
    candidates = below(folder, known)
    fitting = [path for path in candidates if known and path.stem == known]
    fitting = fitting or [
        path for path in candidates if any(set(form) <= set(columns(path)) for form in forms)
    ]
    if len(fitting) != 1:
        told = ", ".join(path.relative_to(folder).as_posix() for path in fitting or candidates) or "none"
        raise UserError(
            f"{'Several tables fit' if fitting else 'No table fits'} in {folder.absolute()} (there: {told}). {what} has the "
            f"columns {'; or '.join(', '.join(form) for form in forms)}. Name the right one with `table`."
        )
    return fitting[0]


def below(folder: Path, known: str = "") -> list[Path]:
    """The files below a folder that may be tables; `known` may have no extension, as Dataverse gives it."""
    bare = [path for path in files.below(folder, ("",)) if path.name == known]
    return bare + files.below(folder, (".csv", ".tab", ".tsv"))


class _opened:
    """The lines of a text file; whatever is wrong with its bytes is told with its path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self):
        try:
            # A byte order mark is Excel's; newline="" leaves line ends within quotes to csv.
            self.file = self.path.open(encoding="utf-8-sig", newline="")
        except OSError as error:
            raise UserError(f"{self.path.absolute()} cannot be read: {error.strerror or error}.") from error
        return self._lines()

    def _lines(self) -> Iterator[str]:
        try:
            for number, line in enumerate(self.file):
                if number == 0 and files.is_pointer(line.encode()):
                    raise UserError(f"{self.path.absolute()} is a git-lfs pointer, not the table itself.")
                yield line
        except UnicodeDecodeError as error:
            raise UserError(
                f"{self.path.absolute()} is not UTF-8 text: {error}. Save it again as UTF-8."
            ) from error

    def __exit__(self, *exception) -> None:
        self.file.close()


def _rows(reader, path: Path) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise UserError(
            f"Line {reader.line_num + 1} of {path.absolute()} is not a table's: {error}."
        ) from error


def _delimiter(header: str) -> str:
    r"""The separator that the header uses most.

    >>> _delimiter("a\tb,c\td"), _delimiter("a;b"), _delimiter("a")
    ('\t', ';', ',')
    """
    return max(",\t;", key=header.count)


SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


def split_named(text) -> str:
    """The split that a word means, or "" where it means none.

    >>> split_named(" Validation"), split_named("fold 3")
    ('val', '')
    """
    word = str(text).strip().casefold()
    return next((split for split, names in SPLIT_NAMES.items() if word in names), "")


SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
_BATCH = 64


def read_rows(path: Path) -> Iterator[dict]:
    """The rows in order; UserError, with the line where there is one, for anything that is not such a file."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path.absolute()} is none of the files that can be read: {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise UserError(f"There is no file {path.absolute()}.")
    with path.open("rb") as file:
        if is_pointer(file.read(64)):
            raise UserError(
                f"{path.absolute()} is a git-lfs pointer, not the file itself (git lfs pull fetches it)."
            )
    if suffix in (".csv", ".tsv"):
        return (row for _, row in read(path, ()))
    return {".json": _json, ".jsonl": _lines, ".parquet": _parquet}[suffix](path)


def _json(path: Path) -> Iterator[dict]:
    yield from json_files.listed(path, ())


def _lines(path: Path) -> Iterator[dict]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"Line {number} of {path.absolute()}"
                yield _object(json_files.parsed(line, where), where)


def _object(row, where: str) -> dict:
    if not isinstance(row, dict):
        raise UserError(f"{where} is no JSON object but {type(row).__name__}.")
    return row


def _parquet(path: Path) -> Iterator[dict]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                yield from batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path.absolute()} cannot be read as parquet: {error}.") from error
