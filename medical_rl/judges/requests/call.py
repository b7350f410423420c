"""The open questions of one event loop, the lines in which they wait, and one call under a lease."""

import asyncio
import collections
import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

from medical_rl.errors import JudgeFailed
from medical_rl.judges.desk.rules import CallRequest, CallResult, Grant
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.messages import GarbageVerdict
from medical_rl.judges.requests.connection import LONGEST_S, Attempt, Connection

BATCH = 64  # of each line of the queue in one exchange
SPARE = 8  # offered beyond the places that are known to be free: other processes free some too


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a question: a value, an error, or (neither) another attempt not before `after_s`."""

    value: Any = None
    error: Exception | None = None
    again: bool = False
    after_s: float | None = None


@dataclasses.dataclass(eq=False)
class Question:
    """What several askers wait for: a request's key, its most tokens, its body, how its answer is read.

    heavy    making the body takes long enough to be done in a thread
    request  the wish as the desk gets it
    """

    key: str
    tokens: int
    body: Callable[[], bytes]
    read: Callable[[str], Any]
    heavy: bool = False
    request: CallRequest | None = None
    waiters: list[asyncio.Future] = dataclasses.field(default_factory=list)
    attempts: int = 0
    not_before: float = 0.0

    def waiting(self) -> list[asyncio.Future]:
        """The futures of askers who have not gone away."""
        return [future for future in self.waiters if not future.done()]

    def resolve(self, outcome: Outcome) -> None:
        """Bring the outcome to all who still wait; they do not share one object."""
        for number, future in enumerate(self.waiting()):
            if outcome.error is not None:
                future.set_exception(outcome.error)
            else:
                future.set_result(copy.deepcopy(outcome.value) if number else outcome.value)


async def call(
    question: Question, lease: str, connection: Connection, max_attempts: int
) -> tuple[CallResult, Outcome]:
    """The settlement and outcome of one attempt; raises CancelledError alone: askers would wait for ever."""
    question.attempts += 1
    try:
        # images are decoded and encoded, which would hold up every other call of the event loop
        body = await asyncio.to_thread(question.body) if question.heavy else question.body()
        attempt, value = await connection.send(body), None
        if attempt.text is not None:
            try:
                value = question.read(attempt.text)
            except GarbageVerdict as error:
                garbage = {"text": None, "error": "garbage", "message": str(error), "again": True}
                attempt = dataclasses.replace(attempt, **garbage)
    except Exception as error:  # a broken image, a missing key: the askers get the error itself
        kind = type(error).__name__
        return CallResult(question.key, lease, error="broken", message=kind, final=True), Outcome(error=error)
    waiting = len(question.waiting())
    if attempt.error is None:
        result = _result(question, lease, attempt, connection.endpoint, final=False)
        return dataclasses.replace(result, shared=max(0, waiting - 1)), Outcome(value=value)
    reason = None
    if not attempt.again:
        reason = "another attempt would not mend it"
    elif question.attempts >= max_attempts:
        reason = f"given up after {question.attempts} attempts"
    elif attempt.after_s is not None and attempt.after_s > LONGEST_S:
        reason = f"it asks to wait {attempt.after_s:.6g} s"
    elif not waiting:
        reason = "nobody waits for it any more"
    result = _result(question, lease, attempt, connection.endpoint, final=reason is not None)
    if reason is None:
        return result, Outcome(again=True, after_s=attempt.after_s)
    return result, Outcome(error=JudgeFailed(attempt.error, f"{attempt.message}; {reason}"))


def _result(question: Question, lease: str, attempt: Attempt, endpoint: Endpoint, final: bool) -> CallResult:
    """The settlement of an attempt; an estimate stands for usage that the endpoint does not tell."""
    prompt, completion = attempt.prompt_tokens, attempt.completion_tokens
    reached = attempt.error in (None, "garbage", "timeout")  # else no model has worked, and none is paid
    if prompt is None:
        prompt = question.tokens - endpoint.max_tokens if reached else 0
    if completion is None:
        completion = endpoint.max_tokens if reached else 0
    return CallResult(
        question.key, lease, attempt.text, endpoint.model, prompt, completion,
        endpoint.cost(prompt, completion), attempt.error, attempt.message, final,
    )  # fmt: skip


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

        Of a thousand askers that come at once, the first are sent while the others prepare.
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
