"""A sqlite file of ours: made with its tables, opened in WAL mode where the file system allows, and named when it is damaged."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from medical_rl.errors import UserError

FORMAT = 1
PATIENCE_S = 10.0  # several processes may make the same file at once


def prepare(file: Path, schema: str) -> None:
    """None; makes `file` with the tables of `schema` if it is not there; UserError if it is no such file.

    WAL lets readers go on while one writes. Where it cannot be had, sqlite's own journal serves.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(file, timeout=PATIENCE_S, isolation_level=None)
    except (OSError, sqlite3.DatabaseError) as error:
        raise UserError(
            f"{file} cannot be opened: {error}. Choose another place: conf.judge.cache or conf.run_dir."
        ) from None
    try:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, FORMAT):
            raise UserError(f"{file} was written by another version (format {found}, here {FORMAT}). Move it away.")
        if found == 0:
            _make(connection, schema)
    except sqlite3.DatabaseError as error:
        raise damaged(file, error) from None
    finally:
        connection.close()


def _make(connection: sqlite3.Connection, schema: str) -> None:
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {FORMAT}; COMMIT;")


def find_damage(file: Path) -> None:
    """None; UserError if `file` is damaged. Reads all of it."""
    try:
        connection = sqlite3.connect(file, timeout=PATIENCE_S)
        said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        connection.close()
    except sqlite3.DatabaseError as error:
        raise damaged(file, error) from None
    if said != "ok":
        raise damaged(file, said)


def damaged(file: Path, why) -> UserError:
    """The UserError that names a damaged file and the way out."""
    return UserError(
        f"{file} is not a usable sqlite file ({why}). Nothing was changed in it. Move it away: a new one is made, and answers it "
        "held are asked for again."
    )
