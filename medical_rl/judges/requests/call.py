"""One call under a lease: send, read, and say what is to be settled and what becomes of the question."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from medical_rl.errors import JudgeFailed
from medical_rl.judges.desk.limits import Done, Wanted
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.requests.connection import Attempt, Connection
from medical_rl.judges.requests.retry import LONGEST_S
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
    """What several askers wait for: one request's key, its most tokens, how to make its body and how to read its answer.

    `heavy` says that making the body takes long enough to be done in a thread; `wanted` is the wish as the desk is told it.
    """

    key: str
    tokens: int
    body: Callable[[], bytes]
    read: Callable[[str], Any]
    heavy: bool = False
    wanted: Wanted | None = None
    waiters: list[asyncio.Future] = dataclasses.field(default_factory=list)
    attempts: int = 0
    not_before: float = 0.0

    @property
    def waited_for(self) -> int:
        """Askers who have not gone away."""
        return sum(not future.done() for future in self.waiters)

    def tell(self, outcome: Outcome) -> None:
        """None; brings the outcome to all who still wait; they do not share one object."""
        waiting = [future for future in self.waiters if not future.done()]
        for number, future in enumerate(waiting):
            if outcome.error is not None:
                future.set_exception(outcome.error)
            else:
                future.set_result(copy.deepcopy(outcome.value) if number else outcome.value)


async def call(
    question: Question, lease: str, connection: Connection, max_attempts: int
) -> tuple[Done, Outcome]:
    """The settlement and the outcome of one attempt. Raises nothing but CancelledError: who asks would wait for ever."""
    question.attempts += 1
    try:
        # images are decoded and encoded, which would hold up every other call of the event loop
        body = await asyncio.to_thread(question.body) if question.heavy else question.body()
        attempt = await connection.send(body)
        attempt, value = _read(question, attempt)
    except Exception as error:  # a broken image, a missing key: the askers are told the error itself
        said = type(error).__name__
        return Done(question.key, lease, error="broken", message=said, final=True), Outcome(error=error)
    if attempt.error is None:
        done = _done(question, lease, attempt, connection.endpoint, False)
        return dataclasses.replace(done, shared=max(0, question.waited_for - 1)), Outcome(value=value)
    again, said = _is_tried_again(question, attempt, max_attempts)
    done = _done(question, lease, attempt, connection.endpoint, not again)
    if again:
        return done, Outcome(again=True, after_s=attempt.after_s)
    return done, Outcome(error=JudgeFailed(attempt.error, f"{attempt.message}; {said}"))


def _read(question: Question, attempt: Attempt) -> tuple[Attempt, Any]:
    """The attempt and the value read from its text; a text that cannot be read makes it a failed attempt."""
    if attempt.text is None:
        return attempt, None
    try:
        return attempt, question.read(attempt.text)
    except GarbageVerdict as error:
        return dataclasses.replace(attempt, text=None, error="garbage", message=str(error), again=True), None


def _is_tried_again(question: Question, attempt: Attempt, max_attempts: int) -> tuple[bool, str]:
    """(whether there is another attempt, why not)."""
    if not attempt.again:
        return False, "another attempt would not mend it"
    if question.attempts >= max_attempts:
        return False, f"given up after {question.attempts} attempts"
    if attempt.after_s is not None and attempt.after_s > LONGEST_S:
        return False, f"it asks to wait {attempt.after_s:.0f} s"
    return bool(question.waited_for), "nobody waits for it any more"


def _done(question: Question, lease: str, attempt: Attempt, endpoint: Endpoint, final: bool) -> Done:
    """The settlement of an attempt. Where the endpoint does not say what was used, the estimate stands for it."""
    prompt, completion = attempt.prompt_tokens, attempt.completion_tokens
    reached = attempt.error in (None, "garbage", "timeout")  # else no model has worked, and none is paid
    if prompt is None:
        prompt = question.tokens - endpoint.max_tokens if reached else 0
    if completion is None:
        completion = endpoint.max_tokens if reached else 0
    return Done(
        question.key, lease, attempt.text, endpoint.model, prompt, completion, endpoint.cost(prompt, completion),
        attempt.error, attempt.message, final,
    )  # fmt: skip
