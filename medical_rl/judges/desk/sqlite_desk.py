"""`SqliteDesk`: the desk of all processes of one host, in two sqlite files: the run's ledger and the cache of answers.

One exchange is one transaction over both files, under a lock that is waited for without blocking the event loop. A killed
process leaves either all of its exchange or nothing; its leases run out.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medical_rl.errors import UserError
from medical_rl.judges.desk import cache, ledger
from medical_rl.judges.desk.admission import HUNGRY_POLL_S, Counts, admit
from medical_rl.judges.desk.database import PATIENCE_S, find_damage, is_busy, prepare
from medical_rl.judges.desk.limits import Budget, Done, Grant, Limits, Wanted

ASKED_POLL_S = 0.1  # pause of one whose question another process is asking
LOCK_S = 60.0  # a lock held longer belongs to a stopped process or a broken file system


class SqliteDesk:
    """A desk shared through files; made anew in each process from the same paths, limits and budget."""

    def __init__(
        self, ledger_file: Path | str, cache_file: Path | str, limits: Limits | None = None, budget: Budget | None = None,
        clock: Callable[[], float] = time.time,
    ):  # fmt: skip
        """`clock` gives seconds; it must be the same for all processes. Files are made and checked here."""
        self.ledger_file, self.cache_file = Path(ledger_file), Path(cache_file)
        self.limits, self.budget, self.clock = limits or Limits(), budget or Budget(), clock
        self._open = threading.local()
        self._connection()

    async def exchange(self, done: list[Done], wanted: list[Wanted]) -> list[Grant]:
        """One grant for each of `wanted`, in order, after `done` was settled, in one transaction."""
        connection = self._connection()
        deadline = time.monotonic() + LOCK_S
        while not self._locked(connection, deadline):
            await asyncio.sleep(random.uniform(0.0005, 0.002))  # an exchange takes about a millisecond
        try:
            now = self.clock()
            self._settle(connection, done, now)
            grants = self._grant(connection, wanted, now)
            connection.execute("COMMIT")
            return grants
        except sqlite3.DatabaseError as error:
            raise self._unusable(error) from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def totals(self) -> dict[str, Any]:
        """The totals of everyone who shares the ledger (see Desk)."""
        return ledger.totals(self._connection())

    def _locked(self, connection: sqlite3.Connection, deadline: float) -> bool:
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
                    f"{self.ledger_file} or {self.cache_file} stayed locked for {LOCK_S:.0f} s: another process was stopped while writing "
                    "it, or the file system does not support locks. End that process, or choose a local conf.judge.cache and conf.run_dir."
                ) from None
            return False
        finally:
            connection.execute(f"PRAGMA busy_timeout = {PATIENCE_S * 1000:.0f}")

    def _settle(self, connection: sqlite3.Connection, done: list[Done], now: float) -> None:
        """None; answers are kept, leases end, totals grow."""
        ledger.expire(connection, now)
        cache.expire(connection, now)
        for one in done:
            if one.text is not None:
                cache.keep(connection, one, now)
            cache.stop_asking(connection, one.key, one.lease)
            ledger.settle(connection, one, now)

    def _grant(self, connection: sqlite3.Connection, wanted: list[Wanted], now: float) -> list[Grant]:
        """The grants of `wanted`, in order; leases are written for those that may go."""
        if not wanted:
            return []
        keys = [one.key for one in wanted]
        known, asked = cache.answers(connection, keys), cache.being_asked(connection, keys)
        counts = ledger.counts(connection, now)
        grants, leases, hungry, blocked = [], {}, {}, {}
        for one in wanted:
            grant = self._decide(one, known, asked, counts, now, blocked)
            if grant.kind == "go":
                grant = Grant("go", lease=secrets.token_hex(8))
                leases[one.key] = (
                    grant.lease,
                    one.key,
                    one.owner,
                    now + one.lease_s,
                    int(now),
                    one.tokens,
                    one.cost,
                )
                asked.add(one.key)
            elif grant.kind == "refused":
                ledger.fail(connection, one.key, grant.reason, grant.text, True, now)
            hungry[one.owner] = hungry.get(one.owner) or grant.reason == "place"
            grants.append(grant)
        if leases:
            ledger.lend(connection, list(leases.values()), now)
            cache.start_asking(connection, [(row[1], row[0], row[3]) for row in leases.values()])
        if hits := sum(grant.kind == "known" for grant in grants):
            ledger.count_hits(connection, hits)
        for owner, is_hungry in hungry.items():
            if is_hungry != (owner in counts.hungry) or is_hungry:
                ledger.set_hungry(connection, owner, now + 4 * HUNGRY_POLL_S if is_hungry else None)
        return grants

    def _decide(
        self, one: Wanted, known: dict[str, str], asked: set[str], counts: Counts, now: float, blocked: dict
    ) -> Grant:
        """Known before asked before admitted: an answer costs nothing, and a question is asked once.

        Once an owner has to wait for the limits, so have its later wishes: a small one does not overtake a large one for ever.
        """
        if one.key in known:
            return Grant("known", text=known[one.key])
        if not one.live:
            return Grant(
                "refused",
                reason="missing",
                text=f"nothing is sent (conf.judge.mode=replay), and {self.cache_file} has no answer to {one.key}",
            )
        if one.key in asked:
            return Grant("wait", seconds=ASKED_POLL_S, reason="asked")
        grant = blocked.get(one.owner) or admit(self.limits, self.budget, counts, one, now)
        if grant.kind == "wait":
            blocked[one.owner] = grant
        return grant

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection; opened anew after a fork, as sqlite's handles must not cross one."""
        if getattr(self._open, "pid", None) != os.getpid():
            self._open.connection = self._opened()
            self._open.pid = os.getpid()
        return self._open.connection

    def _opened(self) -> sqlite3.Connection:
        """A new connection to both files, made where they are not there; UserError that names the one that cannot be used."""
        prepare(self.ledger_file, ledger.SCHEMA)
        prepare(self.cache_file, cache.SCHEMA)
        connection = sqlite3.connect(self.ledger_file, timeout=PATIENCE_S, isolation_level=None)
        connection.execute("ATTACH ? AS cache", [str(self.cache_file)])
        for schema in ("main", "cache"):
            connection.execute(f"PRAGMA {schema}.synchronous = NORMAL")
        return connection

    def _unusable(self, error: sqlite3.DatabaseError) -> UserError:
        """The UserError for an error of sqlite, naming the file that is damaged where that can be told."""
        for file in (self.ledger_file, self.cache_file):
            find_damage(file)
        return UserError(f"{self.ledger_file} or {self.cache_file} cannot be used: {error}.")
