"""The cache of answers: one sqlite file, text only, shared by processes and runs.

To copy a cache that a killed run left, copy `FILE-wal` with it. `answers` holds what judges said; `asking`
names the keys that someone is asking right now, so that nobody asks them twice.
"""

import json
import sqlite3

from medical_rl.judges.desk.protocol import CallResult

SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, created REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS asking (
  key TEXT PRIMARY KEY, lease TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
"""
OF_KEYS = "WHERE key IN (SELECT value FROM json_each(?))"


def cached_answers(connection: sqlite3.Connection, keys: list[str]) -> dict[str, str]:
    """{key: text} of those keys whose answer is cached."""
    return dict(connection.execute(f"SELECT key, text FROM cache.answers {OF_KEYS}", [json.dumps(keys)]))


def store(connection: sqlite3.Connection, result: CallResult, now: float) -> None:
    """Store an answer. The first one stays: a replay must give again what the run was given."""
    connection.execute(
        "INSERT OR IGNORE INTO cache.answers VALUES (?, ?, ?, ?, ?, ?)",
        (result.key, result.model, result.text, result.prompt_tokens, result.completion_tokens, now),
    )


def keys_under_way(connection: sqlite3.Connection, keys: list[str]) -> set[str]:
    """Those keys that someone, in any process or run that shares the cache, is asking."""
    rows = connection.execute(f"SELECT key, lease FROM cache.asking {OF_KEYS}", [json.dumps(keys)])
    return set(dict(rows))


def mark_asking(connection: sqlite3.Connection, rows: list[tuple[str, str, float]]) -> None:
    """Mark (key, lease, expires) as being asked."""
    connection.executemany("INSERT OR REPLACE INTO cache.asking VALUES (?, ?, ?)", rows)


def unmark_asking(connection: sqlite3.Connection, key: str, lease: str) -> None:
    """Take the mark back, unless another lease has replaced it."""
    connection.execute("DELETE FROM cache.asking WHERE key = ? AND lease = ?", (key, lease))


def expire(connection: sqlite3.Connection, now: float) -> None:
    """Remove the marks of those who were killed."""
    connection.execute("DELETE FROM cache.asking WHERE expires < ?", (now,))
