"""What passes between a judge and its desk, and the rule by which a desk grants: limits and a budget.

A judge reports calls that ended and requests new ones; the desk grants. Plain data both ways, so that a desk
may live in this process, in a shared file, or in another process. A request is sent under a `go` grant only,
and each such grant is settled by one `CallResult`. The rule has no clock and no file: every desk and its
tests share it.
"""

import dataclasses
import math
from typing import Any, Protocol

from medical_rl.errors import UserError

WINDOW_S = 60
# A count stays in its second's bucket this long: the minute, the rest of that second, and one for the way to
# the endpoint.
BUCKET_LIFE_S = WINDOW_S + 2
# Pauses of an owner who will be woken by a call of its own (or whose request may fit later), of one who waits
# for others, and of one who has nothing under way at all.
POLL_S, HUNGRY_POLL_S, STARVED_POLL_S = 0.25, 0.05, 0.02


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
        _refuse_non_positive("limits", self)


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a run may spend in all, checked before a request is sent; None sets no cap."""

    max_requests: int | None = None
    max_tokens: int | None = None
    max_cost: float | None = None

    def __post_init__(self) -> None:
        _refuse_non_positive("budget", self)


def _refuse_non_positive(group: str, settings) -> None:
    """Raise UserError for a limit of conf.judge.<group> that would stop everything without a word."""
    for name, value in dataclasses.asdict(settings).items():
        if value is not None and value <= 0:
            raise UserError(
                f"conf.judge.{group}.{name}={value} would stop every request; null sets no limit."
            )


@dataclasses.dataclass
class Counts:
    """What a desk has granted so far; `admit` adds each `go` to it.

    requests, tokens, cost  spent
    reserved_*              what calls under way may still spend
    held                    calls under way, by owner
    hungry                  owners who were lately told to wait for a free place
    window                  {second: [requests, tokens]} of the last BUCKET_LIFE_S seconds
    """

    requests: int = 0
    tokens: int = 0
    cost: float = 0.0
    reserved_tokens: int = 0
    reserved_cost: float = 0.0
    held: dict[str, int] = dataclasses.field(default_factory=dict)
    hungry: set[str] = dataclasses.field(default_factory=set)
    window: dict[int, list[int]] = dataclasses.field(default_factory=dict)


def admit(limits: Limits, budget: Budget, counts: Counts, request: CallRequest, now: float) -> Grant:
    """`go` (without a lease yet), `wait` or `refused` for one request; a `go` is added to `counts`."""
    grant = (
        _budget_grant(budget, counts, request)
        or _place_grant(limits, counts, request)
        or _minute_grant(limits, counts, request, now)
    )
    if grant is not None:
        return grant
    counts.held[request.owner] = counts.held.get(request.owner, 0) + 1
    counts.requests += 1
    counts.reserved_tokens += request.tokens
    counts.reserved_cost += request.cost
    bucket = counts.window.setdefault(int(now), [0, 0])
    bucket[0] += 1
    bucket[1] += request.tokens
    return Grant("go")


def _budget_grant(budget: Budget, counts: Counts, request: CallRequest) -> Grant | None:
    """`refused` if a cap is met, `wait` if calls under way may meet it: most spend less than reserved."""
    caps = (
        ("max_requests", budget.max_requests, counts.requests + 1, 0),
        ("max_tokens", budget.max_tokens, counts.tokens + request.tokens, counts.reserved_tokens),
        ("max_cost", budget.max_cost, counts.cost + request.cost, counts.reserved_cost),
    )
    for name, cap, needed, reserved in caps:
        if cap is not None and needed > cap:
            return Grant("refused", reason="budget", text=f"conf.judge.budget.{name}={cap} is met")
        if cap is not None and needed + reserved > cap:
            return Grant("wait", seconds=POLL_S)
    return None


def _place_grant(limits: Limits, counts: Counts, request: CallRequest) -> Grant | None:
    """`wait` if all places are taken, or if the owner has its share of them and another one is hungry."""
    if limits.concurrency is None:
        return None
    held = counts.held.get(request.owner, 0)
    owners = counts.hungry | set(filter(counts.held.get, counts.held)) | {request.owner}
    share = math.ceil(limits.concurrency / len(owners))
    others_hungry = bool(counts.hungry - {request.owner})
    if sum(counts.held.values()) < limits.concurrency and not (others_hungry and held >= share):
        return None
    pause = STARVED_POLL_S
    if held:
        pause = POLL_S if held >= share else HUNGRY_POLL_S
    return Grant("wait", seconds=pause, reason="place")


def _minute_grant(limits: Limits, counts: Counts, request: CallRequest, now: float) -> Grant | None:
    """`wait` until enough of the last minute has passed; `refused` if no minute could hold the request."""
    needs = (("requests_per_minute", 1), ("tokens_per_minute", request.tokens))
    for column, (name, needed) in enumerate(needs):
        cap = getattr(limits, name)
        if cap is None:
            continue
        if needed > cap:
            text = f"one request needs up to {needed:,} tokens, and conf.judge.limits.{name}={cap:,}"
            return Grant("refused", reason="too_large", text=text)
        used = sum(bucket[column] for bucket in counts.window.values())
        if used + needed > cap:
            pause = _free_at(counts.window, column, used + needed - cap) - now
            return Grant("wait", seconds=max(pause, HUNGRY_POLL_S), reason="minute")
    return None


def _free_at(window: dict[int, list[int]], column: int, excess: float) -> float:
    """Time at which the oldest seconds that together hold `excess` have left the window.

    >>> _free_at({100: [3, 0], 101: [5, 0]}, 0, 4)
    163
    """
    second = 0
    for second in sorted(window):
        excess -= window[second][column]
        if excess <= 0:
            break
    return second + BUCKET_LIFE_S
