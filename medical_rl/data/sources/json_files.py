"""JSON and JSON Lines files, read as what they should be or refused with a reason."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medical_rl.errors import UserError


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
                if line.strip():
                    yield number, _object(line)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path.absolute()} cannot be read as JSON lines: {error}.") from error


def _object(line: str) -> dict | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
