"""A sqlite file of ours: made with its tables, in WAL mode if possible, named when it is damaged."""

import contextlib
import random
import sqlite3
import time
from pathlib import Path

from medical_rl.errors import UserError

FORMAT = 1
PATIENCE_S = 10.0  # several processes may make the same file at once


def prepare(file: Path, schema: str) -> None:
    """Make `file` with the tables of `schema` if it is not there.

    WAL lets readers go on while one writes. Where it cannot be had, sqlite's own journal serves.
    Raises UserError if it is no such file.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            return _make_tables(file, schema)
        except OSError as error:
            raise UserError(
                f"{file} cannot be opened: {error}. Choose another conf.judge.cache or conf.run_dir."
            ) from None
        except sqlite3.DatabaseError as error:
            # several processes make the same file at once, and sqlite does not wait for a change of its
            # journal
            if not is_busy(error) or time.monotonic() > deadline:
                raise _damaged(file, error) from None
            time.sleep(random.uniform(0.005, 0.02))


def _make_tables(file: Path, schema: str) -> None:
    with contextlib.closing(sqlite3.connect(file, timeout=PATIENCE_S, isolation_level=None)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, FORMAT):
            raise UserError(
                f"{file} was written by another version (format {version}, here {FORMAT}). Move it away."
            )
        if version == 0:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            connection.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {FORMAT}; COMMIT;")


def is_busy(error: sqlite3.DatabaseError) -> bool:
    """True if another connection holds the lock that was needed."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def check_undamaged(file: Path) -> None:
    """Read all of `file`. Raises UserError if it is damaged."""
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=PATIENCE_S)) as connection:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if is_busy(error):
            return
        raise _damaged(file, error) from None
    if verdict != "ok":
        raise _damaged(file, verdict)


def _damaged(file: Path, why) -> UserError:
    """The UserError that names a damaged file and the way out."""
    return UserError(
        f"{file} is not a usable sqlite file ({why}). Nothing was changed in it. Move it away: a new one "
        "is made, and answers it held are asked for again."
    )
