"""`Pump`: the one coroutine of an event loop that carries questions to the desk, sends what it grants, and brings answers back.

A thousand waiting tasks are one queue here: a round takes a bounded number from its head, together with what is done since the
last round, into one exchange. Then it sleeps until there is news (a question, a finished call) or the desk's hint is over.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import math
import os
import secrets
from typing import Any

from medical_rl.errors import BudgetMet, JudgeFailed
from medical_rl.judges.call import Outcome, Question, call
from medical_rl.judges.connection import Connection
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.limits import Desk, Done, Grant, Wanted
from medical_rl.judges.retry import backoff
from medical_rl.judges.verdict import GarbageVerdict

BATCH = 64  # wishes of each queue in one exchange
GRACE_S = 30.0  # a lease outlives its call's time-out by this
LAST_WORDS_S = 5.0  # how long an ending event loop may take to give its leases back


class Pump:
    """The queue of one event loop; `answer` is its only entrance."""

    def __init__(self, endpoint: Endpoint, desk: Desk, max_attempts: int, backoff_s: float, live: bool):
        self.endpoint, self.desk, self.live = endpoint, desk, live
        self.max_attempts, self.backoff_s = max_attempts, backoff_s
        self.owner = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"
        self.open: dict[str, Question] = {}
        self.fresh: collections.deque[Question] = collections.deque()  # never offered: may be in the cache
        self.waiting: collections.deque[Question] = collections.deque()  # for the limits
        self.elsewhere: collections.deque[Question] = collections.deque()  # asked by another process, by `not_before`
        self.done: list[tuple[Done, Question, Outcome]] = []
        self.calls: set[asyncio.Task] = set()
        self.news = asyncio.Event()
        self.task: asyncio.Task | None = None
        self.connection: Connection | None = None

    async def answer(self, asked: Question) -> Any:
        """What `read` makes of the answer; JudgeFailed if there is none. Questions of one key become one."""
        question = self.open.setdefault(asked.key, asked)
        if question is asked:
            self.fresh.append(question)
        future = asyncio.get_running_loop().create_future()
        question.waiters.append(future)
        self._wake()
        return await future

    def _wake(self) -> None:
        self.news.set()
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        """Rounds until nothing is open. Whatever ends it, nobody is left waiting."""
        try:
            while self.open or self.done:
                self.news.clear()
                await self._sleep(await self._round())
        except asyncio.CancelledError:
            await self._abandon()
            raise
        except Exception as error:  # the desk is broken: every asker is told, as none could be answered any more
            for question in list(self.open.values()):
                self._tell(question, Outcome(error=error))

    async def _sleep(self, seconds: float) -> None:
        """None, after `seconds` or as soon as there is news."""
        if seconds <= 0:
            return
        timer = asyncio.get_running_loop().call_later(seconds, self.news.set) if seconds < math.inf else None
        await self.news.wait()
        if timer:
            timer.cancel()

    async def _round(self) -> float:
        """Seconds to sleep after one exchange: finished calls are settled and then told, grants are acted on."""
        done, self.done = self.done, []
        batch = self._batch()
        try:
            grants = await self.desk.exchange([one for one, _, _ in done], [self._wanted(q) for q in batch])
        except asyncio.CancelledError:
            self.done = done + self.done
            raise
        for _, question, outcome in done:
            self._tell(question, outcome)
        return self._act(batch, grants)

    def _batch(self) -> list[Question]:
        """The questions to offer, taken from their queues: those that wait longest first; forgotten ones are dropped."""
        now = asyncio.get_running_loop().time()
        batch = []
        for queue in (self.waiting, self.fresh, self.elsewhere):
            taken = 0
            while queue and taken < BATCH and queue[0].not_before <= now:
                question = queue.popleft()
                if question.waited_for:
                    batch.append(question)
                    taken += 1
                else:
                    self.open.pop(question.key, None)
        return batch

    def _wanted(self, question: Question) -> Wanted:
        cost = self.endpoint.cost(question.tokens - self.endpoint.max_tokens, self.endpoint.max_tokens)
        lease_s = self.endpoint.timeout_s + GRACE_S
        return Wanted(question.key, self.owner, question.tokens, cost, lease_s, self.live)

    def _act(self, batch: list[Question], grants: list[Grant]) -> float:
        """Seconds to sleep, after calls were started and answers given."""
        now = asyncio.get_running_loop().time()
        blocked, pause = [], math.inf
        for question, grant in zip(batch, grants, strict=True):
            if grant.kind == "go":
                self._start(question, grant.lease)
            elif grant.kind == "known":
                self._tell_known(question, grant.text)
            elif grant.kind == "refused":
                kind = BudgetMet if grant.reason == "budget" else JudgeFailed
                self._tell(question, Outcome(error=kind(grant.reason, grant.text)))
            elif grant.reason == "asked":
                question.not_before = now + grant.seconds
                self.elsewhere.append(question)
            else:
                blocked.append(question)
                pause = min(pause, grant.seconds)
        self.waiting.extendleft(reversed(blocked))
        if self.done or self.fresh or (self.waiting and not blocked):
            return 0.0
        return min(pause, self.elsewhere[0].not_before - now) if self.elsewhere else pause

    def _start(self, question: Question, lease: str) -> None:
        """None; starts the granted call."""
        task = asyncio.get_running_loop().create_task(self._call(question, lease))
        self.calls.add(task)
        task.add_done_callback(self.calls.discard)

    async def _call(self, question: Question, lease: str) -> None:
        self.connection = self.connection or Connection(self.endpoint)
        done, outcome = await call(question, lease, self.connection, self.max_attempts)
        self.done.append((done, question, outcome))
        self.news.set()

    def _tell_known(self, question: Question, text: str) -> None:
        """None; gives the kept answer to every asker; further askers than the one the desk knows of are reported."""
        try:
            outcome = Outcome(value=question.read(text))
        except GarbageVerdict as error:
            outcome = Outcome(
                error=JudgeFailed("garbage", f"the cache's answer to {question.key} is not of the schema: {error}")
            )
        if shared := question.waited_for - 1:
            self.done.append((Done(question.key, "", shared=shared), question, outcome))
        else:
            self._tell(question, outcome)

    def _tell(self, question: Question, outcome: Outcome) -> None:
        """None; brings an outcome to all askers, or the question back into the queue when its next attempt is due."""
        if outcome.again:
            wait = backoff(question.attempts, self.backoff_s, outcome.after_s)
            asyncio.get_running_loop().call_later(wait, self._ask_again, question)
            return
        self.open.pop(question.key, None)
        for future in question.waiters:
            if future.done():
                continue
            if outcome.error is not None:
                future.set_exception(outcome.error)
            else:
                future.set_result(outcome.value)

    def _ask_again(self, question: Question) -> None:
        self.waiting.appendleft(question)
        self._wake()

    async def _abandon(self) -> None:
        """None; the event loop is ending: calls are stopped and their leases given back, if the desk answers soon."""
        for task in self.calls:
            task.cancel()
        await asyncio.gather(*self.calls, return_exceptions=True)
        done, self.done = self.done, []
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.desk.exchange([one for one, _, _ in done], []), LAST_WORDS_S)
        for question in list(self.open.values()):
            for future in question.waiters:
                future.cancel()
