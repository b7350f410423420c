"""The open questions of one event loop, and the three lines in which those that are not under way wait."""

from __future__ import annotations

import asyncio
import collections
import math
from collections.abc import Callable

from medical_rl.judges.call import Question
from medical_rl.judges.limits import Grant

BATCH = 64  # of each line in one exchange


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

    def take(self) -> list[Question]:
        """The next questions to offer, those longest in line first; those that nobody waits for any more are dropped."""
        now, fresh = asyncio.get_running_loop().time(), len(self.fresh)
        batch: list[Question] = []
        for line in (self.limited, self.fresh, self.elsewhere):
            end = len(batch) + BATCH
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

    def put_back(self, waiting: list[tuple[Question, Grant]]) -> float:
        """Seconds until there is something to offer, unless news comes before; for those told to wait by the desk."""
        now = asyncio.get_running_loop().time()
        limited = [question for question, grant in waiting if grant.reason != "asked"]
        self.limited.extendleft(reversed(limited))
        for question, grant in waiting:
            if grant.reason == "asked":
                question.not_before = now + grant.seconds
                self.elsewhere.append(question)
        if self.fresh or (self.limited and not limited):
            return 0.0
        pauses = [grant.seconds for _, grant in waiting if grant.reason != "asked"]
        pauses += [question.not_before - now for question in list(self.elsewhere)[:1]]
        return min(pauses, default=math.inf)
