"""The desk's protocol: a judge reports calls that ended and requests new ones; the desk grants.

One batched method, plain data both ways, so that a desk may live in this process, in a file shared by
processes, or in another process. A request is sent under a `go` grant only, and each such grant is settled by
one `CallResult`.
"""

import dataclasses
from typing import Any, Protocol

from medical_rl.errors import UserError


@dataclasses.dataclass(frozen=True)
class CallRequest:
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
class CallResult:
    """What became of a `go` grant (`lease`), or news about a key without one (`lease` "").

    text     the answer to be cached; None if the attempt failed
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
    """The desk's reply to one `CallRequest`.

    kind     "known" (the answer is `text`), "go" (send, under `lease`), "wait" (ask again after `seconds`),
             "refused" (never: `reason` is budget, missing or too_large, `text` says more)
    """

    kind: str
    text: str = ""
    lease: str = ""
    seconds: float = 0.0
    reason: str = ""


class Desk(Protocol):
    """Where the judges of a run meet: SqliteDesk here; the engine has one for several nodes."""

    async def exchange(self, results: list[CallResult], requests: list[CallRequest]) -> list[Grant]:
        """One grant for each of `requests`, in order, after `results` were settled."""
        ...

    def totals(self) -> dict[str, Any]:
        """{"requests", "prompt_tokens", "completion_tokens", "cost", "cache_hits", "faults", "failures"}.

        `faults` counts failed attempts by reason, `failures` questions given up, by reason.
        """
        ...


def refuse_non_positive(group: str, settings) -> None:
    """Raise UserError for a limit of conf.judge.<group> that would stop everything without a word."""
    for name, value in dataclasses.asdict(settings).items():
        if value is not None and value <= 0:
            raise UserError(
                f"conf.judge.{group}.{name}={value} would stop every request; null sets no limit."
            )
