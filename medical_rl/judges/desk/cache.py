"""The cache of answers: one sqlite file, text only, shared by processes and by runs; attached to a desk's connection as `cache`.

To copy a cache that a killed run left, copy `FILE-wal` with it. `answers` holds what judges said; `asking` names the
keys that someone is asking right now, so that nobody asks them twice.
"""

from __future__ import annotations

import json
import sqlite3

from medical_rl.judges.desk.limits import Done

SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, created REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS asking (
  key TEXT PRIMARY KEY, lease TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
"""


def answers(connection: sqlite3.Connection, keys: list[str]) -> dict[str, str]:
    """{key: text} of those keys whose answer is kept."""
    found = connection.execute(
        "SELECT key, text FROM cache.answers WHERE key IN (SELECT value FROM json_each(?))",
        [json.dumps(keys)],
    )
    return dict(found.fetchall())


def keep(connection: sqlite3.Connection, done: Done, now: float) -> None:
    """None; keeps an answer. The first one stays: it is what the run was given, and what a replay must give again."""
    connection.execute(
        "INSERT OR IGNORE INTO cache.answers VALUES (?, ?, ?, ?, ?, ?)",
        (done.key, done.model, done.text, done.prompt_tokens, done.completion_tokens, now),
    )


def being_asked(connection: sqlite3.Connection, keys: list[str]) -> set[str]:
    """Those keys that someone, in any process or run that shares the cache, is asking."""
    found = connection.execute(
        "SELECT key FROM cache.asking WHERE key IN (SELECT value FROM json_each(?))", [json.dumps(keys)]
    )
    return {key for (key,) in found}


def start_asking(connection: sqlite3.Connection, rows: list[tuple[str, str, float]]) -> None:
    """None; marks (key, lease, expires) as being asked."""
    connection.executemany("INSERT OR REPLACE INTO cache.asking VALUES (?, ?, ?)", rows)


def stop_asking(connection: sqlite3.Connection, key: str, lease: str) -> None:
    """None; takes the mark back, unless another lease has replaced it."""
    connection.execute("DELETE FROM cache.asking WHERE key = ? AND lease = ?", (key, lease))


def expire(connection: sqlite3.Connection, now: float) -> None:
    """None; forgets the marks of those who were killed."""
    connection.execute("DELETE FROM cache.asking WHERE expires < ?", (now,))
