"""The limits of an endpoint, and whether one more request may go now.

A rule over counts: no clock, no file, so every desk and its tests share it.
"""

import dataclasses
import math

from medical_rl.judges.desk.budget import Budget, Spending, budget_grant
from medical_rl.judges.desk.protocol import CallRequest, Grant, refuse_non_positive

WINDOW_S = 60
# A count stays in its second's bucket this long: the minute, the rest of that second, and one for the way to
# the endpoint.
BUCKET_LIFE_S = WINDOW_S + 2
POLL_S = 0.25  # pause of an owner who will be woken by a call of its own
HUNGRY_POLL_S = 0.05  # pause of an owner who waits for others
STARVED_POLL_S = 0.02  # pause of one who has nothing under way at all


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
        refuse_non_positive("limits", self)


@dataclasses.dataclass
class Counts(Spending):
    """What a desk has granted so far; `admit` adds each `go` to it.

    held    calls under way, by owner
    hungry  owners who were lately told to wait for a free place
    window  {second: [requests, tokens]} of the last BUCKET_LIFE_S seconds
    """

    held: dict[str, int] = dataclasses.field(default_factory=dict)
    hungry: set[str] = dataclasses.field(default_factory=set)
    window: dict[int, list[int]] = dataclasses.field(default_factory=dict)


def admit(limits: Limits, budget: Budget, counts: Counts, request: CallRequest, now: float) -> Grant:
    """`go` (without a lease yet), `wait` or `refused` for one request; a `go` is added to `counts`."""
    grant = (
        budget_grant(budget, counts, request)
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
