"""The ledger of a run: leases of calls under way, requests and tokens by the second, totals, failures with their reasons."""

from __future__ import annotations

import sqlite3
from typing import Any

from medical_rl.judges.desk.admission import KEPT_S, Counts
from medical_rl.judges.desk.limits import Done

SCHEMA = """
CREATE TABLE IF NOT EXISTS leases (
  lease TEXT PRIMARY KEY, key TEXT NOT NULL, owner TEXT NOT NULL, expires REAL NOT NULL,
  second INTEGER NOT NULL, tokens INTEGER NOT NULL, cost REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seconds (second INTEGER PRIMARY KEY, requests INTEGER NOT NULL, tokens INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS hungry (owner TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS totals (
  one INTEGER PRIMARY KEY CHECK (one = 1), requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL, cost REAL NOT NULL, cache_hits INTEGER NOT NULL);
INSERT OR IGNORE INTO totals VALUES (1, 0, 0, 0, 0.0, 0);
CREATE TABLE IF NOT EXISTS failures (
  at REAL NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL, final INTEGER NOT NULL);
"""


def counts(connection: sqlite3.Connection, now: float) -> Counts:
    """What was granted so far, for `admit`."""
    found = Counts()
    leases = "SELECT owner, COUNT(*), SUM(tokens), SUM(cost) FROM leases GROUP BY owner"
    for owner, calls, tokens, cost in connection.execute(leases):
        found.held[owner] = calls
        found.reserved_tokens += tokens
        found.reserved_cost += cost
    spent = connection.execute(
        "SELECT requests, prompt_tokens + completion_tokens, cost FROM totals"
    ).fetchone()
    found.requests, found.tokens, found.cost = spent
    for second, requests, tokens in connection.execute(
        "SELECT * FROM seconds WHERE second > ?", (now - KEPT_S,)
    ):
        found.window[second] = [requests, tokens]
    found.hungry = {
        owner for (owner,) in connection.execute("SELECT owner FROM hungry WHERE until >= ?", (now,))
    }
    return found


def lend(connection: sqlite3.Connection, rows: list[tuple], now: float) -> None:
    """None; writes the leases (lease, key, owner, expires, second, tokens, cost) of requests about to be sent."""
    connection.executemany("INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    connection.execute("UPDATE totals SET requests = requests + ?", (len(rows),))
    connection.execute(
        "INSERT INTO seconds VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET "
        "requests = requests + excluded.requests, tokens = tokens + excluded.tokens",
        (int(now), len(rows), sum(row[5] for row in rows)),
    )


def settle(connection: sqlite3.Connection, done: Done, now: float) -> None:
    """None; ends a lease: what was reserved becomes what was spent. Of a lease taken back already nothing is counted twice."""
    lease = connection.execute(
        "DELETE FROM leases WHERE lease = ? RETURNING second, tokens", (done.lease,)
    ).fetchone()
    if lease is not None:
        spent = done.prompt_tokens + done.completion_tokens
        _spend(connection, done.prompt_tokens, done.completion_tokens, done.cost)
        connection.execute(
            "UPDATE seconds SET tokens = tokens + ? WHERE second = ?", (spent - lease[1], lease[0])
        )
    if done.shared:
        count_hits(connection, done.shared)
    if done.error is not None:
        fail(connection, done.key, done.error, done.message, done.final, now)


def count_hits(connection: sqlite3.Connection, hits: int) -> None:
    """None; counts askers who were served without a request."""
    connection.execute("UPDATE totals SET cache_hits = cache_hits + ?", (hits,))


def fail(
    connection: sqlite3.Connection, key: str, reason: str, message: str, final: bool, now: float
) -> None:
    """None; appends a failed attempt, or with `final` a question given up."""
    connection.execute("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", (now, key, reason, message, final))


def expire(connection: sqlite3.Connection, now: float) -> None:
    """None; takes back the leases of the killed, and drops what no longer counts.

    What the killed had reserved counts as spent: the endpoint may have charged it.
    """
    gone = connection.execute(
        "DELETE FROM leases WHERE expires < ? RETURNING key, tokens, cost", (now,)
    ).fetchall()
    for key, tokens, cost in gone:
        _spend(connection, tokens, 0, cost)
        fail(connection, key, "expired", "the process that asked did not come back", False, now)
    connection.execute("DELETE FROM seconds WHERE second < ?", (now - 2 * KEPT_S,))
    connection.execute("DELETE FROM hungry WHERE until < ?", (now,))


def set_hungry(connection: sqlite3.Connection, owner: str, until: float | None) -> None:
    """None; notes that an owner waits for a free place until it asks again, or (None) that it no longer does."""
    if until is None:
        connection.execute("DELETE FROM hungry WHERE owner = ?", (owner,))
    else:
        connection.execute("INSERT OR REPLACE INTO hungry VALUES (?, ?)", (owner, until))


def totals(connection: sqlite3.Connection) -> dict[str, Any]:
    """The totals of `Desk.totals`."""
    names = ("requests", "prompt_tokens", "completion_tokens", "cost", "cache_hits")
    found = dict(
        zip(names, connection.execute(f"SELECT {', '.join(names)} FROM totals").fetchone(), strict=True)
    )
    by_reason = "SELECT reason, COUNT(*) FROM failures WHERE final = ? GROUP BY reason ORDER BY reason"
    return found | {
        "faults": dict(connection.execute(by_reason, (0,))),
        "failures": dict(connection.execute(by_reason, (1,))),
    }


def _spend(connection: sqlite3.Connection, prompt_tokens: int, completion_tokens: int, cost: float) -> None:
    connection.execute(
        "UPDATE totals SET prompt_tokens = prompt_tokens + ?, completion_tokens = completion_tokens + ?, cost = cost + ?",
        (prompt_tokens, completion_tokens, cost),
    )
