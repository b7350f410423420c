"""The desk's protocol: a judge settles what is done and asks for what it wants; the desk grants, within limits and a budget.

One batched method, plain data both ways, so that a desk may live in this process, in a file shared by processes, or in
another process. Whoever asks may only send a request under a `go` grant, and settles each grant by one `Done`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from medical_rl.errors import UserError


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the endpoint bears, over everyone who shares the desk; None sets no limit.

    concurrency          calls under way at once
    requests_per_minute  requests in any 60 s, retries counted
    tokens_per_minute    prompt and answer tokens in any 60 s, estimated until a call is settled
    """

    concurrency: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def __post_init__(self) -> None:
        _all_positive("limits", self)


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a run may spend in all; None sets no cap. Checked before a request is sent, calls under way reserved."""

    max_requests: int | None = None
    max_tokens: int | None = None
    max_cost: float | None = None

    def __post_init__(self) -> None:
        _all_positive("budget", self)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A wish to have the answer of `key`.

    owner    who asks: one name for each event loop of each process
    tokens   most tokens the request can cost, prompt and answer
    cost     most money it can cost
    lease_s  seconds after which a grant to send is taken back: the owner was killed
    live     False: answer from the cache alone, never grant to send (replay)
    """

    key: str
    owner: str
    tokens: int = 0
    cost: float = 0.0
    lease_s: float = 90.0
    live: bool = True


@dataclasses.dataclass(frozen=True)
class Done:
    """What became of a `go` grant (`lease`), or news about a key without one (`lease` "").

    text     the answer to be kept; None if the attempt failed
    error    reason of a failed attempt, one word: "429", "timeout", "garbage", ...
    message  more about the error, free of secrets
    final    True if the question is given up for it
    shared   further askers in the owner's process who took this answer without a request
    """

    key: str
    lease: str
    text: str | None = None
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    error: str | None = None
    message: str = ""
    final: bool = False
    shared: int = 0


@dataclasses.dataclass(frozen=True)
class Grant:
    """The desk's reply to one `Wanted`.

    kind     "known" (the answer is `text`), "go" (send, under `lease`), "wait" (ask again after `seconds`),
             "refused" (never: `reason` is budget, missing or too_large, `text` says more)
    """

    kind: str
    text: str = ""
    lease: str = ""
    seconds: float = 0.0
    reason: str = ""


class Desk(Protocol):
    """Where the judges of a run meet. Implementations: SqliteDesk here; the engine has one for several nodes."""

    async def exchange(self, done: list[Done], wanted: list[Wanted]) -> list[Grant]:
        """One grant for each of `wanted`, in order, after `done` was settled."""
        ...

    def totals(self) -> dict[str, Any]:
        """{"requests", "prompt_tokens", "completion_tokens", "cost", "cache_hits", "faults", "failures"} so far.

        `faults` counts failed attempts by reason, `failures` questions given up, by reason.
        """
        ...


def _all_positive(group: str, settings) -> None:
    """None; UserError for a limit that would stop everything without a word."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value is not None and value <= 0:
            raise UserError(
                f"conf.judge.{group}.{field.name}={value} would stop every request; null sets no limit."
            )
