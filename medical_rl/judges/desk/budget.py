"""The budget of a run: what it may spend in all, and whether one more request fits into it."""

import dataclasses

from medical_rl.judges.desk.protocol import CallRequest, Grant, refuse_non_positive

WAIT_S = 0.25  # pause of one whose request may fit once the calls under way are settled


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a run may spend in all, checked before a request is sent; None sets no cap."""

    max_requests: int | None = None
    max_tokens: int | None = None
    max_cost: float | None = None

    def __post_init__(self) -> None:
        refuse_non_positive("budget", self)


@dataclasses.dataclass
class Spending:
    """What is spent (requests, tokens, cost), and what calls under way may still spend (reserved)."""

    requests: int = 0
    tokens: int = 0
    cost: float = 0.0
    reserved_tokens: int = 0
    reserved_cost: float = 0.0


def budget_grant(budget: Budget, spending: Spending, request: CallRequest) -> Grant | None:
    """`refused` if a cap is met, `wait` if it might be, None if the request fits.

    It might be met by the calls under way, which usually spend less than was reserved for them.
    """
    caps = (
        ("max_requests", budget.max_requests, spending.requests + 1, 0),
        ("max_tokens", budget.max_tokens, spending.tokens + request.tokens, spending.reserved_tokens),
        ("max_cost", budget.max_cost, spending.cost + request.cost, spending.reserved_cost),
    )
    for name, cap, needed, reserved in caps:
        if cap is not None and needed > cap:
            return Grant("refused", reason="budget", text=f"conf.judge.budget.{name}={cap} is met")
        if cap is not None and needed + reserved > cap:
            return Grant("wait", seconds=WAIT_S)
    return None
