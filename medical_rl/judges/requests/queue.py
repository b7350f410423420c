"""The open questions of one event loop, and the three lines in which those that are not under way wait.

`Pump`: the one coroutine of an event loop that carries questions to the desk, sends what it grants, and brings answers back.

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
from collections.abc import Callable
from typing import Any

from medical_rl.errors import BudgetMet, JudgeFailed
from medical_rl.judges.desk.limits import Desk, Done, Grant, Wanted
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.requests.call import Outcome, Question, call
from medical_rl.judges.requests.connection import Connection
from medical_rl.judges.requests.retry import backoff
from medical_rl.judges.verdict import GarbageVerdict

BATCH = 64  # of each line in one exchange
SPARE = 8  # offered beyond the places that are known to be free: other processes free some too


class Queues:
    """First come, first served, within each line.

    open       every question without an outcome, by key
    fresh      never offered to the desk: the answer may be in the cache
    limited    told to wait for a place, the minute or the budget: the head is offered again as soon as anything moves
    elsewhere  being asked by another process: offered again when its pause is over
    """

    def __init__(self):
        self.open: dict[str, Question] = {}
        self.fresh: collections.deque[Question] = collections.deque()
        self.limited: collections.deque[Question] = collections.deque()
        self.elsewhere: collections.deque[Question] = collections.deque()
        self._room = asyncio.Semaphore(2 * BATCH)
        self._blocked_until = 0.0  # by the desk's word about `limited`

    async def join(self, prepare: Callable[[], Question]) -> Question:
        """The open question of the same key as that of `prepare()`; a new one goes to the end of `fresh`.

        Only so many askers prepare ahead: of a thousand that come at once, the first are sent while the others prepare.
        """
        await self._room.acquire()
        try:
            asked = prepare()
        except BaseException:
            self._room.release()
            raise
        question = self.open.setdefault(asked.key, asked)
        if question is asked:
            self.fresh.append(question)
        else:
            self._room.release()
        return question

    def pause(self) -> float:
        """Seconds until there is something to offer; 0 or less for now."""
        if self.fresh:
            return 0.0
        until = [self._blocked_until] if self.limited else []
        until += [question.not_before for question in list(self.elsewhere)[:1]]
        return min(until, default=math.inf) - asyncio.get_running_loop().time()

    def take(self, settled: int) -> list[Question]:
        """The next questions to offer, those longest in line first; those that nobody waits for any more are dropped.

        `settled` calls have just ended: while the limits hold, not many more of `limited` can go than that.
        """
        now, fresh = asyncio.get_running_loop().time(), len(self.fresh)
        of_limited = BATCH if now >= self._blocked_until else min(BATCH, settled + SPARE)
        batch: list[Question] = []
        for line, most in ((self.limited, of_limited), (self.fresh, BATCH), (self.elsewhere, BATCH)):
            end = len(batch) + most
            while line and len(batch) < end and line[0].not_before <= now:
                question = line.popleft()
                if question.waited_for:
                    batch.append(question)
                else:
                    self.close(question)
        for _ in range(fresh - len(self.fresh)):
            self._room.release()
        return batch

    def close(self, question: Question) -> None:
        """None; the question has its outcome. One of the same key that was asked since stays open."""
        if self.open.get(question.key) is question:
            del self.open[question.key]

    def put_back(self, waiting: list[tuple[Question, Grant]]) -> None:
        """None; those told to wait by the desk go back into their lines."""
        now = asyncio.get_running_loop().time()
        limited = [(question, grant) for question, grant in waiting if grant.reason != "asked"]
        self.limited.extendleft(question for question, _ in reversed(limited))
        self._blocked_until = now + min((grant.seconds for _, grant in limited), default=0.0)
        for question, grant in waiting:
            if grant.reason == "asked":
                question.not_before = now + grant.seconds
                self.elsewhere.append(question)


SETTLED_AT = 8  # finished calls that are settled at once, in the midst of a burst of answers
GRACE_S = 30.0  # a lease outlives its call's time-out by this
LAST_WORDS_S = 5.0  # how long an ending event loop may take to give its leases back


class Pump:
    """The way of one event loop to the desk and back; `answer` is its only entrance."""

    def __init__(self, endpoint: Endpoint, desk: Desk, max_attempts: int, backoff_s: float, live: bool):
        self.endpoint, self.desk, self.live = endpoint, desk, live
        self.max_attempts, self.backoff_s = max_attempts, backoff_s
        self.owner = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"
        self.queues = Queues()
        self.granted: collections.deque[tuple[Question, str]] = (
            collections.deque()
        )  # about to be sent, with leases
        self.calls: set[asyncio.Task] = set()
        self.done: list[tuple[Done, Question, Outcome]] = []  # to be settled, then told
        self.news = asyncio.Event()
        self.one_round = asyncio.Lock()
        self.task: asyncio.Task | None = None
        self.connection = Connection(endpoint)

    async def answer(self, prepare: Callable[[], Question]) -> Any:
        """What its `read` makes of the answer to `prepare()`; JudgeFailed if there is none. Equal questions become one."""
        question = await self.queues.join(prepare)
        if question.wanted is None:
            cost = self.endpoint.cost(question.tokens - self.endpoint.max_tokens, self.endpoint.max_tokens)
            lease_s = self.endpoint.timeout_s + GRACE_S
            question.wanted = Wanted(question.key, self.owner, question.tokens, cost, lease_s, self.live)
        future = asyncio.get_running_loop().create_future()
        question.waiters.append(future)
        self._wake()
        return await future

    def _wake(self) -> None:
        self.news.set()
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        """Rounds until nothing is open."""
        try:
            while self.queues.open or self.queues.fresh or self.done:
                self.news.clear()
                if self.done or self.queues.pause() <= 0:
                    await self._round()
                while self.granted:
                    task = asyncio.get_running_loop().create_task(self._call(*self.granted.popleft()))
                    self.calls.add(task)
                    task.add_done_callback(self.calls.discard)
                await self._sleep(0.0 if self.done else self.queues.pause())
        except asyncio.CancelledError:
            await self._abandon()
            raise

    async def _sleep(self, seconds: float) -> None:
        """None, after `seconds` or as soon as there is news."""
        if seconds <= 0:
            await asyncio.sleep(0)  # the calls just granted are sent before more are asked for
            return
        timer = asyncio.get_running_loop().call_later(seconds, self.news.set) if seconds < math.inf else None
        await self.news.wait()
        if timer:
            timer.cancel()

    async def _round(self) -> None:
        """None; one exchange, one at a time: finished calls are settled and then told, grants are acted on."""
        async with self.one_round:
            done, self.done = self.done, []
            batch = self.queues.take(len(done))
            try:
                grants = await self.desk.exchange(
                    [one for one, _, _ in done], [question.wanted for question in batch]
                )
            except asyncio.CancelledError:
                self.done = done + self.done
                raise
            except (
                Exception
            ) as error:  # the desk is broken: every asker is told, as none could be answered any more
                for question in list(self.queues.open.values()):
                    self._tell(question, Outcome(error=error))
                return
        for _, question, outcome in done:
            self._tell(question, outcome)
        self.queues.put_back(
            [(q, grant) for q, grant in zip(batch, grants, strict=True) if not self._acted(q, grant)]
        )

    def _acted(self, question: Question, grant: Grant) -> bool:
        """True if the grant settles what becomes of the question now; False if it has to wait."""
        if grant.kind == "go":
            self.granted.append((question, grant.lease))
        elif grant.kind == "known":
            self._tell_known(question, grant.text)
        elif grant.kind == "refused":
            kind = BudgetMet if grant.reason == "budget" else JudgeFailed
            self._tell(question, Outcome(error=kind(grant.reason, grant.text)))
        return grant.kind != "wait"

    async def _call(self, question: Question, lease: str) -> None:
        """None; the granted call, and after it further ones as long as there are grants.

        Answers come in bursts. Were all of a burst read before the next requests are sent, the endpoint would stand idle
        meanwhile; so every few answers are settled at once, and who has read an answer sends the next request.
        """
        while True:
            try:
                done, outcome = await call(question, lease, self.connection, self.max_attempts)
            except asyncio.CancelledError:
                self.granted.append((question, lease))  # given back by `_abandon`
                raise
            self.done.append((done, question, outcome))
            self.news.set()
            if len(self.done) >= SETTLED_AT and not self.one_round.locked():
                await self._round()
            if not self.granted:
                return
            question, lease = self.granted.popleft()

    def _tell_known(self, question: Question, text: str) -> None:
        """None; gives the kept answer to every asker; further askers than the one the desk knows of are reported."""
        try:
            outcome = Outcome(value=question.read(text))
        except GarbageVerdict as error:
            said = f"the cache's answer to {question.key} is not of the schema: {error}"
            outcome = Outcome(error=JudgeFailed("garbage", said))
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
        self.queues.close(question)
        question.tell(outcome)

    def _ask_again(self, question: Question) -> None:
        self.queues.limited.appendleft(question)
        self._wake()

    async def _abandon(self) -> None:
        """None; the event loop is ending: calls are stopped and their leases given back, if the desk answers soon."""
        for task in self.calls:
            task.cancel()
        await asyncio.gather(*self.calls, return_exceptions=True)  # those under way are among `granted` now
        done = [one for one, _, _ in self.done]
        done += [Done(question.key, lease, error="cancelled") for question, lease in self.granted]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.desk.exchange(done, []), LAST_WORDS_S)
        for question in list(self.queues.open.values()):
            for future in question.waiters:
                future.cancel()
