"""One call under a lease: send, read, and tell what is to be settled and what becomes of the question."""

import asyncio
import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from medical_rl.errors import JudgeFailed
from medical_rl.judges.desk.protocol import CallRequest, CallResult
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.requests.connection import Attempt, Connection
from medical_rl.judges.requests.retry import why_given_up
from medical_rl.judges.verdict import GarbageVerdict


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

    `heavy`: making the body takes long enough to be done in a thread; `request` is the wish as the desk gets
    it.
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
    """The settlement and the outcome of one attempt.

    Raises nothing but CancelledError: who asks would wait for ever.
    """
    question.attempts += 1
    try:
        # images are decoded and encoded, which would hold up every other call of the event loop
        body = await asyncio.to_thread(question.body) if question.heavy else question.body()
        attempt = await connection.send(body)
        attempt, value = _read(question, attempt)
    except Exception as error:  # a broken image, a missing key: the askers get the error itself
        kind = type(error).__name__
        return CallResult(question.key, lease, error="broken", message=kind, final=True), Outcome(error=error)
    waiting = len(question.waiting())
    if attempt.error is None:
        result = _result(question, lease, attempt, connection.endpoint, final=False)
        return dataclasses.replace(result, shared=max(0, waiting - 1)), Outcome(value=value)
    reason = why_given_up(attempt.again, question.attempts, max_attempts, attempt.after_s, waiting)
    result = _result(question, lease, attempt, connection.endpoint, final=reason is not None)
    if reason is None:
        return result, Outcome(again=True, after_s=attempt.after_s)
    return result, Outcome(error=JudgeFailed(attempt.error, f"{attempt.message}; {reason}"))


def _read(question: Question, attempt: Attempt) -> tuple[Attempt, Any]:
    """The attempt and the value read from its text; a text that cannot be read makes it a failed attempt."""
    if attempt.text is None:
        return attempt, None
    try:
        return attempt, question.read(attempt.text)
    except GarbageVerdict as error:
        return dataclasses.replace(attempt, text=None, error="garbage", message=str(error), again=True), None


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
