"""`SqliteDesk`: the desk of all processes of one host, in two files: the run's ledger and the cache.

One exchange is one transaction over both files, under a lock that is waited for without blocking the event
loop. A killed process leaves either all of its exchange or nothing; its leases run out.

A file is made with its tables, in WAL mode if possible, and named when it is damaged.
"""

import asyncio
import contextlib
import os
import random
import secrets
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medical_rl.errors import UserError
from medical_rl.judges.desk import ledger
from medical_rl.judges.desk.rules import (
    HUNGRY_POLL_S,
    Budget,
    CallRequest,
    CallResult,
    Counts,
    Grant,
    Limits,
    admit,
)

ASKED_POLL_S = 0.1  # pause of one whose question another process is asking
FORMAT = 1
PATIENCE_S = 10.0  # several processes may make the same file at once
LOCK_S = 60.0  # a lock held longer belongs to a stopped process or a broken file system


class SqliteDesk:
    """A desk shared through files; made anew in each process from the same paths, limits and budget."""

    def __init__(
        self, ledger_file: Path | str, cache_file: Path | str, limits: Limits | None = None,
        budget: Budget | None = None, clock: Callable[[], float] = time.time,
    ):  # fmt: skip
        """`clock` gives seconds; it must be the same for all processes. Files are made and checked here."""
        self.ledger_file, self.cache_file = Path(ledger_file), Path(cache_file)
        self.limits, self.budget, self.clock = limits or Limits(), budget or Budget(), clock
        self._open = threading.local()
        self._connection()

    async def exchange(self, results: list[CallResult], requests: list[CallRequest]) -> list[Grant]:
        """One grant for each of `requests`, in order, after `results` were settled, in one transaction."""
        connection = self._connection()
        deadline = time.monotonic() + LOCK_S
        while not self._lock(connection, deadline):
            await asyncio.sleep(random.uniform(0.0005, 0.002))  # an exchange takes about a millisecond
        try:
            now = self.clock()
            ledger.expire(connection, now)
            for result in results:
                ledger.settle(connection, result, now)
            grants = self._grant(connection, requests, now)
            connection.execute("COMMIT")
            return grants
        except sqlite3.DatabaseError as error:
            raise self._unusable(error) from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def totals(self) -> dict[str, Any]:
        """The totals of everyone who shares the ledger (see Desk)."""
        return ledger.read_totals(self._connection())

    def _lock(self, connection: sqlite3.Connection, deadline: float) -> bool:
        """True once this connection may write to both files; False while another one does."""
        try:
            connection.execute("PRAGMA busy_timeout = 0")  # the event loop turns, and it is tried again
            connection.execute("BEGIN IMMEDIATE")
            return True
        except sqlite3.DatabaseError as error:
            if not is_busy(error):
                raise self._unusable(error) from error
            if time.monotonic() > deadline:
                raise UserError(
                    f"{self.ledger_file} or {self.cache_file} stayed locked for {LOCK_S:.0f} s: another "
                    "process was stopped while writing it, or the file system does not support locks. End "
                    "that process, or choose a local conf.judge.cache and conf.run_dir."
                ) from None
            return False
        finally:
            connection.execute(f"PRAGMA busy_timeout = {PATIENCE_S * 1000:.0f}")

    def _grant(self, connection: sqlite3.Connection, requests: list[CallRequest], now: float) -> list[Grant]:
        """The grants of `requests`, in order; leases are written for those that may go."""
        if not requests:
            return []
        keys = [request.key for request in requests]
        known, under_way = ledger.cached_answers(connection, keys), ledger.keys_under_way(connection, keys)
        counts = ledger.read_counts(connection, now)
        grants, leases, hits = [], [], 0
        hungry: dict[str, bool] = defaultdict(bool)
        blocked: dict[str, Grant] = {}
        for request in requests:
            grant = self._decide(request, known, under_way, counts, now, blocked)
            if grant.kind == "go":
                grant = Grant("go", lease=secrets.token_hex(8))
                lease = (grant.lease, request.key, request.owner, now + request.lease_s, int(now))
                leases.append((*lease, request.tokens, request.cost))
                under_way.add(request.key)
            elif grant.kind == "refused":
                ledger.add_failure(connection, request.key, grant.reason, grant.text, True, now)
            hits += grant.kind == "known"
            hungry[request.owner] |= grant.reason == "place"
            grants.append(grant)
        if leases:
            ledger.lend(connection, leases, now)
        if hits:
            ledger.count_hits(connection, hits)
        for owner, is_hungry in hungry.items():
            if is_hungry or owner in counts.hungry:
                ledger.set_hungry(connection, owner, now + 4 * HUNGRY_POLL_S if is_hungry else None)
        return grants

    def _decide(
        self, request: CallRequest, known: dict[str, str], under_way: set[str], counts: Counts, now: float,
        blocked: dict[str, Grant],
    ) -> Grant:  # fmt: skip
        """Known before asked before admitted: an answer costs nothing, and a question is asked once.

        Once an owner has to wait for the limits, so have its later wishes: a small one does not overtake a
        large one for ever.
        """
        if request.key in known:
            return Grant("known", text=known[request.key])
        if not request.live:
            text = f"{self.cache_file} has no answer to {request.key}"
            text = f"nothing is sent (conf.judge.mode=replay), and {text}"
            return Grant("refused", reason="missing", text=text)
        if request.key in under_way:
            return Grant("wait", seconds=ASKED_POLL_S, reason="asked")
        grant = blocked.get(request.owner) or admit(self.limits, self.budget, counts, request, now)
        if grant.kind == "wait":
            blocked[request.owner] = grant
        return grant

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection; opened anew after a fork, as sqlite's handles must not cross one."""
        if getattr(self._open, "pid", None) != os.getpid():
            prepare(self.ledger_file, ledger.LEDGER)
            prepare(self.cache_file, ledger.CACHE)
            connection = sqlite3.connect(self.ledger_file, timeout=PATIENCE_S, isolation_level=None)
            connection.execute("ATTACH ? AS cache", [str(self.cache_file)])
            for schema in ("main", "cache"):
                connection.execute(f"PRAGMA {schema}.synchronous = NORMAL")
            self._open.connection, self._open.pid = connection, os.getpid()
        return self._open.connection

    def _unusable(self, error: sqlite3.DatabaseError) -> UserError:
        """The UserError for an error of sqlite, naming the file that is damaged where that can be told."""
        for file in (self.ledger_file, self.cache_file):
            try:
                with contextlib.closing(sqlite3.connect(file, timeout=PATIENCE_S)) as connection:
                    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            except sqlite3.DatabaseError as reason:
                verdict = "ok" if is_busy(reason) else reason
            if verdict != "ok":
                return _damaged(file, verdict)
        return UserError(f"{self.ledger_file} or {self.cache_file} cannot be used: {error}.")


def prepare(file: Path, schema: str) -> None:
    """Make `file` with the tables of `schema` if it is not there; UserError if it is no such file."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(file, timeout=PATIENCE_S, isolation_level=None)) as made:
                version = made.execute("PRAGMA user_version").fetchone()[0]
                if version == 0:
                    # WAL lets readers go on while one writes; where it fails, sqlite's own journal serves
                    made.execute("PRAGMA journal_mode = WAL").fetchone()
                    made.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {FORMAT}; COMMIT;")
                elif version != FORMAT:
                    found = f"format {version}, here {FORMAT}"
                    raise UserError(f"{file} was written by another version ({found}). Move it away.")
            return
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


def is_busy(error: sqlite3.DatabaseError) -> bool:
    """True if another connection holds the lock that was needed."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _damaged(file: Path, why) -> UserError:
    return UserError(
        f"{file} is not a usable sqlite file ({why}). Nothing was changed in it. Move it away: a new one "
        "is made, and answers it held are asked for again."
    )
