"""The open questions of one event loop, and the three lines in which they wait."""

import asyncio
import collections
import math
from collections.abc import Callable

from medical_rl.judges.desk.protocol import Grant
from medical_rl.judges.requests.call import Question

BATCH = 64  # of each line in one exchange
SPARE = 8  # offered beyond the places that are known to be free: other processes free some too


class QuestionQueue:
    """First come, first served, within each line.

    open       every question without an outcome, by key
    fresh      never offered to the desk: the answer may be in the cache
    limited    waiting for a place, the minute or the budget: the head is offered again as soon as anything
               moves
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

        Only so many askers prepare ahead: of a thousand that come at once, the first are sent while the
        others prepare.
        """
        await self._room.acquire()
        try:
            prepared = prepare()
        except BaseException:
            self._room.release()
            raise
        question = self.open.setdefault(prepared.key, prepared)
        if question is prepared:
            self.fresh.append(question)
        else:
            self._room.release()
        return question

    def pause(self) -> float:
        """Seconds until there is something to offer; 0 or less for now."""
        if self.fresh:
            return 0.0
        until = math.inf
        if self.limited:
            until = self._blocked_until
        if self.elsewhere:
            until = min(until, self.elsewhere[0].not_before)
        return until - asyncio.get_running_loop().time()

    def take(self, settled: int) -> list[Question]:
        """The next questions to offer, those longest in line first; those nobody waits for are dropped.

        `settled` calls have just ended: while the limits hold, not many more of `limited` can go than that.
        """
        now, fresh = asyncio.get_running_loop().time(), len(self.fresh)
        of_limited = BATCH if now >= self._blocked_until else min(BATCH, settled + SPARE)
        batch: list[Question] = []
        for line, most in ((self.limited, of_limited), (self.fresh, BATCH), (self.elsewhere, BATCH)):
            end = len(batch) + most
            while line and len(batch) < end and line[0].not_before <= now:
                question = line.popleft()
                if question.waiting():
                    batch.append(question)
                else:
                    self.close(question)
        for _ in range(fresh - len(self.fresh)):
            self._room.release()
        return batch

    def close(self, question: Question) -> None:
        """Remove a question that has its outcome. One of the same key that was asked since stays open."""
        if self.open.get(question.key) is question:
            del self.open[question.key]

    def put_back(self, waiting: list[tuple[Question, Grant]]) -> None:
        """Put those whom the desk lets wait back into their lines, in their order."""
        now = asyncio.get_running_loop().time()
        pauses = []
        for question, grant in reversed(waiting):
            if grant.reason != "asked":
                self.limited.appendleft(question)
                pauses.append(grant.seconds)
        self._blocked_until = now + min(pauses, default=0.0)
        for question, grant in waiting:
            if grant.reason == "asked":
                question.not_before = now + grant.seconds
                self.elsewhere.append(question)
