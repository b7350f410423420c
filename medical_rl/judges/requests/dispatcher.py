"""`Dispatcher`: carries an event loop's questions to the desk, sends them, brings answers back.

A round takes a bounded number from the queue's head, with what has ended since the last round, into one
exchange. Then it sleeps until there is news (a question, a finished call) or the desk's hint is over.
"""

import asyncio
import collections
import contextlib
import math
import os
import secrets
from collections.abc import Callable
from typing import Any

from medical_rl.errors import BudgetMet, JudgeFailed
from medical_rl.judges.desk.rules import CallRequest, CallResult, Desk
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.messages import GarbageVerdict
from medical_rl.judges.requests.call import Outcome, Question, QuestionQueue, call
from medical_rl.judges.requests.connection import Connection, backoff

SETTLED_AT = 8  # finished calls that are settled at once, in the midst of a burst of answers
GRACE_S = 30.0  # a lease outlives its call's time-out by this
LAST_WORDS_S = 5.0  # how long an ending event loop may take to give its leases back


class Dispatcher:
    """The way of one event loop to the desk and back; `answer` is its only entrance."""

    def __init__(self, endpoint: Endpoint, desk: Desk, max_attempts: int, backoff_s: float, live: bool):
        self.endpoint, self.desk, self.live = endpoint, desk, live
        self.max_attempts, self.backoff_s = max_attempts, backoff_s
        self.owner = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"
        self.queue = QuestionQueue()
        # about to be sent, with leases
        self.granted: collections.deque[tuple[Question, str]] = collections.deque()
        self.calls: set[asyncio.Task] = set()
        # to be settled, then told to the askers
        self.finished: list[tuple[CallResult, Question, Outcome]] = []
        self.news = asyncio.Event()
        self.one_round = asyncio.Lock()
        self.task: asyncio.Task | None = None
        self.connection = Connection(endpoint)

    async def answer(self, prepare: Callable[[], Question]) -> Any:
        """What `read` makes of the answer to `prepare()`, else JudgeFailed; equal questions become one."""
        question = await self.queue.join(prepare)
        if question.request is None:
            most, lease_s = self.endpoint.max_tokens, self.endpoint.timeout_s + GRACE_S
            cost = self.endpoint.cost(question.tokens - most, most)
            question.request = CallRequest(
                question.key, self.owner, question.tokens, cost, lease_s, self.live
            )
        future = asyncio.get_running_loop().create_future()
        question.waiters.append(future)
        self._wake()
        return await future

    def _wake(self) -> None:
        self.news.set()
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        """Go round until nothing is open."""
        try:
            while self.queue.open or self.queue.fresh or self.finished:
                self.news.clear()
                if self.finished or self.queue.pause() <= 0:
                    await self._round()
                while self.granted:
                    task = asyncio.get_running_loop().create_task(self._call(*self.granted.popleft()))
                    self.calls.add(task)
                    task.add_done_callback(self.calls.discard)
                pause_s = 0.0 if self.finished else self.queue.pause()
                if pause_s <= 0:
                    await asyncio.sleep(0)  # the calls just granted are sent before more are asked for
                else:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self.news.wait(), None if pause_s == math.inf else pause_s)
        except asyncio.CancelledError:
            await self._abandon()
            raise

    async def _round(self) -> None:
        """Make one exchange, one at a time: settle finished calls, tell their askers, act on the grants."""
        async with self.one_round:
            finished, self.finished = self.finished, []
            batch = self.queue.take(len(finished))
            results = [result for result, _, _ in finished]
            try:
                grants = await self.desk.exchange(results, [question.request for question in batch])
            except asyncio.CancelledError:
                self.finished = finished + self.finished
                raise
            except Exception as error:
                # the desk is broken: nobody could be answered any more, so all are told
                for question in list(self.queue.open.values()):
                    self._conclude(question, Outcome(error=error))
                return
        for _, question, outcome in finished:
            self._conclude(question, outcome)
        waiting = []
        for question, grant in zip(batch, grants, strict=True):
            if grant.kind == "wait":
                waiting.append((question, grant))
            elif grant.kind == "go":
                self.granted.append((question, grant.lease))
            elif grant.kind == "known":
                self._conclude_known(question, grant.text)
            elif grant.kind == "refused":
                kind = BudgetMet if grant.reason == "budget" else JudgeFailed
                self._conclude(question, Outcome(error=kind(grant.reason, grant.text)))
        self.queue.put_back(waiting)

    async def _call(self, question: Question, lease: str) -> None:
        """Make the granted call, and after it further ones as long as there are grants.

        Answers come in bursts. So that the endpoint does not stand idle while all of a burst are read, every
        few answers are settled at once, and who has read an answer sends the next request.
        """
        while True:
            try:
                result, outcome = await call(question, lease, self.connection, self.max_attempts)
            except asyncio.CancelledError:
                self.granted.append((question, lease))  # given back by `_abandon`
                raise
            self.finished.append((result, question, outcome))
            self.news.set()
            if len(self.finished) >= SETTLED_AT and not self.one_round.locked():
                await self._round()
            if not self.granted:
                return
            question, lease = self.granted.popleft()

    def _conclude_known(self, question: Question, text: str) -> None:
        """Give the cached answer to every asker; report those beyond the one that the desk knows of."""
        try:
            outcome = Outcome(value=question.read(text))
        except GarbageVerdict as error:
            message = f"the cache's answer to {question.key} is not of the schema: {error}"
            outcome = Outcome(error=JudgeFailed("garbage", message))
        shared = len(question.waiting()) - 1
        if shared:
            self.finished.append((CallResult(question.key, "", shared=shared), question, outcome))
        else:
            self._conclude(question, outcome)

    def _conclude(self, question: Question, outcome: Outcome) -> None:
        """Bring an outcome to all askers, or the question back into the queue for its next attempt."""
        if outcome.again:
            wait_s = backoff(question.attempts, self.backoff_s, outcome.after_s)
            asyncio.get_running_loop().call_later(wait_s, self._ask_again, question)
        else:
            self.queue.close(question)
            question.resolve(outcome)

    def _ask_again(self, question: Question) -> None:
        self.queue.limited.appendleft(question)
        self._wake()

    async def _abandon(self) -> None:
        """Stop the calls of an ending event loop and give their leases back, if the desk answers soon."""
        for task in self.calls:
            task.cancel()
        await asyncio.gather(*self.calls, return_exceptions=True)  # those under way are among `granted` now
        results = [result for result, _, _ in self.finished]
        for question, lease in self.granted:
            results.append(CallResult(question.key, lease, error="cancelled"))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.desk.exchange(results, []), LAST_WORDS_S)
        for question in list(self.queue.open.values()):
            for future in question.waiters:
                future.cancel()
