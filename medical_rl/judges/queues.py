"""The questions of one event loop that are not under way: three lines in which they wait for different things."""

from __future__ import annotations

import collections
import math

from medical_rl.judges.call import Question
from medical_rl.judges.limits import Grant

BATCH = 64  # of each line in one exchange


class Queues:
    """First come, first served, within each line.

    fresh      never offered to the desk: the answer may be in the cache
    limited    told to wait for a place, the minute or the budget: the head is offered again as soon as anything moves
    elsewhere  being asked by another process: offered again when its pause is over
    """

    def __init__(self):
        self.fresh: collections.deque[Question] = collections.deque()
        self.limited: collections.deque[Question] = collections.deque()
        self.elsewhere: collections.deque[Question] = collections.deque()

    def take(self, now: float) -> tuple[list[Question], list[Question]]:
        """(the next questions to offer, those longest in line first; those that nobody waits for any more)."""
        batch, forgotten = [], []
        for line in (self.limited, self.fresh, self.elsewhere):
            end = len(batch) + BATCH
            while line and len(batch) < end and line[0].not_before <= now:
                question = line.popleft()
                (batch if question.waited_for else forgotten).append(question)
        return batch, forgotten

    def put_back(self, waiting: list[tuple[Question, Grant]], now: float) -> float:
        """Seconds until there is something to offer, unless news comes before; for those told to wait by the desk."""
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
