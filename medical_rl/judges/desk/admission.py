"""Whether one more request may go, as a rule over counts: no clock, no file, so every desk and its tests share it."""

from __future__ import annotations

import dataclasses
import math

from medical_rl.judges.desk.limits import Budget, Grant, Limits, Wanted

WINDOW_S = 60
# A count lies in its second's bucket for this long: the minute, the rest of that second, and a second for the way to the endpoint.
KEPT_S = WINDOW_S + 2
POLL_S = 0.25  # pause of an owner who will be woken by a call of its own
HUNGRY_POLL_S = 0.05  # pause of an owner who waits for others
STARVED_POLL_S = 0.02  # pause of one who has nothing under way at all


@dataclasses.dataclass
class Counts:
    """What a desk has granted so far; `admit` adds each `go` to it.

    held      calls under way, by owner
    hungry    owners who were lately told to wait for a free place
    window    {second: [requests, tokens]} of the last KEPT_S seconds
    requests, tokens, cost                what is spent
    reserved_tokens, reserved_cost        what calls under way may still spend
    """

    held: dict[str, int] = dataclasses.field(default_factory=dict)
    hungry: set[str] = dataclasses.field(default_factory=set)
    window: dict[int, list[int]] = dataclasses.field(default_factory=dict)
    requests: int = 0
    tokens: int = 0
    cost: float = 0.0
    reserved_tokens: int = 0
    reserved_cost: float = 0.0


def admit(limits: Limits, budget: Budget, counts: Counts, wanted: Wanted, now: float) -> Grant:
    """`go` (without a lease yet), `wait` or `refused` for one request; a `go` is added to `counts`."""
    grant = (
        _by_budget(budget, counts, wanted)
        or _by_place(limits, counts, wanted)
        or _by_minute(limits, counts, wanted, now)
    )
    if grant is not None:
        return grant
    counts.held[wanted.owner] = counts.held.get(wanted.owner, 0) + 1
    counts.requests += 1
    counts.reserved_tokens += wanted.tokens
    counts.reserved_cost += wanted.cost
    second = counts.window.setdefault(int(now), [0, 0])
    second[0] += 1
    second[1] += wanted.tokens
    return Grant("go")


def _by_budget(budget: Budget, counts: Counts, wanted: Wanted) -> Grant | None:
    """Refused if the cap is met; wait if it might be, by what is under way, which usually spends less than it reserved."""
    if budget.max_requests is not None and counts.requests + 1 > budget.max_requests:
        return Grant(
            "refused", reason="budget", text=f"conf.judge.budget.max_requests={budget.max_requests} is met"
        )
    caps = (
        ("max_tokens", budget.max_tokens, counts.tokens + wanted.tokens, counts.reserved_tokens),
        ("max_cost", budget.max_cost, counts.cost + wanted.cost, counts.reserved_cost),
    )
    for name, cap, needed, reserved in caps:
        if cap is not None and needed > cap:
            return Grant("refused", reason="budget", text=f"conf.judge.budget.{name}={cap:g} is met")
        if cap is not None and needed + reserved > cap:
            return Grant("wait", seconds=POLL_S)
    return None


def _by_place(limits: Limits, counts: Counts, wanted: Wanted) -> Grant | None:
    """Wait if all places are taken, or if the owner has its share of them and another one is hungry."""
    if limits.concurrency is None:
        return None
    held = counts.held.get(wanted.owner, 0)
    owners = {owner for owner, calls in counts.held.items() if calls} | counts.hungry | {wanted.owner}
    share = math.ceil(limits.concurrency / len(owners))
    others = counts.hungry - {wanted.owner}
    if sum(counts.held.values()) < limits.concurrency and not (others and held >= share):
        return None
    pause = POLL_S if held >= share else HUNGRY_POLL_S if held else STARVED_POLL_S
    return Grant("wait", seconds=pause, reason="place")


def _by_minute(limits: Limits, counts: Counts, wanted: Wanted, now: float) -> Grant | None:
    """Wait until enough of the last minute's requests and tokens have passed; refused if a minute could never hold it."""
    for column, (name, needed) in enumerate(
        (("requests_per_minute", 1), ("tokens_per_minute", wanted.tokens))
    ):
        cap = getattr(limits, name)
        if cap is None:
            continue
        if needed > cap:
            said = f"one request needs up to {needed:,} tokens, and conf.judge.limits.{name}={cap:,}"
            return Grant("refused", reason="too_large", text=said)
        excess = sum(row[column] for row in counts.window.values()) + needed - cap
        if excess > 0:
            return Grant(
                "wait",
                seconds=max(_free_at(counts.window, column, excess) - now, HUNGRY_POLL_S),
                reason="minute",
            )
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
    return second + KEPT_S
