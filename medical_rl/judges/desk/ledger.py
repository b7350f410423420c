"""The tables of a desk: a run's ledger (leases, usage, totals, failures) and the cache of answers.

The cache may be shared by processes and runs: `answers` holds what judges said; `asking` names the keys that
someone is asking right now, so that nobody asks them twice. To copy a cache that a killed run left, copy
`FILE-wal` with it.
"""

import json
import sqlite3
from typing import Any

from medical_rl.judges.desk.rules import BUCKET_LIFE_S, CallResult, Counts

LEDGER = """
CREATE TABLE IF NOT EXISTS leases (
  lease TEXT PRIMARY KEY, key TEXT NOT NULL, owner TEXT NOT NULL, expires REAL NOT NULL,
  second INTEGER NOT NULL, tokens INTEGER NOT NULL, cost REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seconds (
  second INTEGER PRIMARY KEY, requests INTEGER NOT NULL, tokens INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS hungry (owner TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS totals (
  one INTEGER PRIMARY KEY CHECK (one = 1), requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL, cost REAL NOT NULL, cache_hits INTEGER NOT NULL);
INSERT OR IGNORE INTO totals VALUES (1, 0, 0, 0, 0.0, 0);
CREATE TABLE IF NOT EXISTS failures (
  at REAL NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL, final INTEGER NOT NULL);
"""
CACHE = """
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, created REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS asking (
  key TEXT PRIMARY KEY, lease TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
"""


def cached_answers(connection: sqlite3.Connection, keys: list[str]) -> dict[str, str]:
    """{key: text} of those keys whose answer is cached."""
    return _of_keys(connection, "SELECT key, text FROM cache.answers", keys)


def keys_under_way(connection: sqlite3.Connection, keys: list[str]) -> set[str]:
    """Those keys that someone, in any process or run that shares the cache, is asking."""
    return set(_of_keys(connection, "SELECT key, lease FROM cache.asking", keys))


def _of_keys(connection: sqlite3.Connection, query: str, keys: list[str]) -> dict[str, str]:
    return dict(
        connection.execute(f"{query} WHERE key IN (SELECT value FROM json_each(?))", [json.dumps(keys)])
    )


def read_counts(connection: sqlite3.Connection, now: float) -> Counts:
    """What was granted so far, for `admit`."""
    counts = Counts()
    leases = "SELECT owner, COUNT(*), SUM(tokens), SUM(cost) FROM leases GROUP BY owner"
    for owner, calls, tokens, cost in connection.execute(leases):
        counts.held[owner] = calls
        counts.reserved_tokens += tokens
        counts.reserved_cost += cost
    spent = "SELECT requests, prompt_tokens + completion_tokens, cost FROM totals"
    counts.requests, counts.tokens, counts.cost = connection.execute(spent).fetchone()
    recent = "SELECT second, requests, tokens FROM seconds WHERE second > ?"
    for second, requests, tokens in connection.execute(recent, (now - BUCKET_LIFE_S,)):
        counts.window[second] = [requests, tokens]
    counts.hungry = set(dict(connection.execute("SELECT owner, until FROM hungry WHERE until >= ?", (now,))))
    return counts


def lend(connection: sqlite3.Connection, rows: list[tuple], now: float) -> None:
    """Write the leases (lease, key, owner, expires, second, tokens, cost) of requests about to be sent."""
    connection.executemany("INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    marks = [(key, lease, expires) for lease, key, _, expires, *_ in rows]
    connection.executemany("INSERT OR REPLACE INTO cache.asking VALUES (?, ?, ?)", marks)
    connection.execute("UPDATE totals SET requests = requests + ?", (len(rows),))
    _count(connection, int(now), len(rows), sum(row[5] for row in rows))


def settle(connection: sqlite3.Connection, result: CallResult, now: float) -> None:
    """Store an answer and end its lease: what was reserved becomes what was spent.

    The first answer stays: a replay must give again what the run was given. Of a lease taken back already
    nothing is counted twice, and a key's mark that another lease has replaced stays.
    """
    if result.text is not None:
        connection.execute(
            "INSERT OR IGNORE INTO cache.answers VALUES (?, ?, ?, ?, ?, ?)",
            (result.key, result.model, result.text, result.prompt_tokens, result.completion_tokens, now),
        )
    connection.execute("DELETE FROM cache.asking WHERE key = ? AND lease = ?", (result.key, result.lease))
    lease = connection.execute(
        "DELETE FROM leases WHERE lease = ? RETURNING second, tokens", (result.lease,)
    ).fetchone()
    if lease is not None:
        _spend(connection, result.prompt_tokens, result.completion_tokens, result.cost)
        correction = result.prompt_tokens + result.completion_tokens - lease[1]
        connection.execute("UPDATE seconds SET tokens = tokens + ? WHERE second = ?", (correction, lease[0]))
    if result.shared:
        count_hits(connection, result.shared)
    if result.error is not None:
        add_failure(connection, result.key, result.error, result.message, result.final, now)


def count_hits(connection: sqlite3.Connection, hits: int) -> None:
    """Count askers who were served without a request."""
    connection.execute("UPDATE totals SET cache_hits = cache_hits + ?", (hits,))


def add_failure(
    connection: sqlite3.Connection, key: str, reason: str, message: str, final: bool, now: float
) -> None:
    """Append a failed attempt, or with `final` a question given up."""
    connection.execute("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", (now, key, reason, message, final))


def expire(connection: sqlite3.Connection, now: float) -> None:
    """Take back the leases of the killed, and drop what no longer counts.

    What the killed had reserved counts as spent: the endpoint may have charged it.
    """
    _follow_clock(connection, int(now))
    expired = "DELETE FROM leases WHERE expires < ? RETURNING key, tokens, cost"
    for key, tokens, cost in connection.execute(expired, (now,)).fetchall():
        _spend(connection, tokens, 0, cost)
        add_failure(connection, key, "expired", "the process that asked did not come back", False, now)
    connection.execute("DELETE FROM seconds WHERE second < ?", (now - 2 * BUCKET_LIFE_S,))
    connection.execute("DELETE FROM hungry WHERE until < ?", (now,))
    connection.execute("DELETE FROM cache.asking WHERE expires < ?", (now,))


def _follow_clock(connection: sqlite3.Connection, now: int) -> None:
    """Count what was granted in the future, before the clock went back, as granted just now."""
    leases = (
        "UPDATE leases SET expires = expires - second + ?1, second = ?1 WHERE second > ?1 + 1 RETURNING 1"
    )
    moved = connection.execute(leases, (now,)).fetchall()
    recent = "DELETE FROM seconds WHERE second > ? RETURNING requests, tokens"
    counts = connection.execute(recent, (now + 1,)).fetchall()
    for requests, tokens in counts:
        _count(connection, now, requests, tokens)
    if moved or counts:
        connection.execute(
            "UPDATE cache.asking AS mark SET expires = leases.expires FROM leases WHERE leases.lease = mark.lease"
        )
        connection.execute("DELETE FROM hungry")


def _count(connection: sqlite3.Connection, second: int, requests: int, tokens: int) -> None:
    connection.execute(
        "INSERT INTO seconds VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET "
        "requests = requests + excluded.requests, tokens = tokens + excluded.tokens",
        (second, requests, tokens),
    )


def set_hungry(connection: sqlite3.Connection, owner: str, until: float | None) -> None:
    """Note that an owner waits for a free place until it asks again, or (None) that it no longer does."""
    if until is None:
        connection.execute("DELETE FROM hungry WHERE owner = ?", (owner,))
    else:
        connection.execute("INSERT OR REPLACE INTO hungry VALUES (?, ?)", (owner, until))


def read_totals(connection: sqlite3.Connection) -> dict[str, Any]:
    """The totals of `Desk.totals`."""
    names = ("requests", "prompt_tokens", "completion_tokens", "cost", "cache_hits")
    row = connection.execute(f"SELECT {', '.join(names)} FROM totals").fetchone()
    totals: dict[str, Any] = dict(zip(names, row, strict=True))
    by_reason = "SELECT reason, COUNT(*) FROM failures WHERE final = ? GROUP BY reason ORDER BY reason"
    totals["faults"] = dict(connection.execute(by_reason, (0,)))
    totals["failures"] = dict(connection.execute(by_reason, (1,)))
    return totals


def _spend(connection: sqlite3.Connection, prompt_tokens: int, completion_tokens: int, cost: float) -> None:
    connection.execute(
        "UPDATE totals SET prompt_tokens = prompt_tokens + ?, completion_tokens = completion_tokens + ?, "
        "cost = cost + ?",
        (prompt_tokens, completion_tokens, cost),
    )
