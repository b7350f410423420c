"""The rule that lets one more request go: numbers worked out by hand."""

import pytest

from medical_rl.errors import UserError
from medical_rl.judges.desk.rules import BUCKET_LIFE_S, Budget, CallRequest, Counts, Limits, admit


def ask(limits=None, budget=None, counts=None, now=1000.0, **wanted):
    return admit(
        limits or Limits(),
        budget or Budget(),
        counts or Counts(),
        CallRequest("key", **{"owner": "a", **wanted}),
        now,
    )


def test_without_limits_everything_goes_and_is_counted():
    counts = Counts()
    assert ask(counts=counts, tokens=50, cost=0.5).kind == "go"
    assert (counts.held, counts.requests, counts.reserved_tokens, counts.reserved_cost) == (
        {"a": 1},
        1,
        50,
        0.5,
    )
    assert counts.window == {1000: [1, 50]}


def test_concurrency_counts_every_owner():
    counts = Counts(held={"a": 1, "b": 2})
    assert ask(Limits(concurrency=3), counts=counts).kind == "wait"
    assert ask(Limits(concurrency=4), counts=counts).kind == "go"


def test_an_owner_with_its_share_yields_to_a_hungry_one():
    # 4 places, two owners: 2 each. `a` has 3 and may not take the free one while `b` waits for it; `b` may.
    counts = Counts(held={"a": 3}, hungry={"b"})
    assert ask(Limits(concurrency=4), counts=counts, owner="a").kind == "wait"
    assert ask(Limits(concurrency=4), counts=counts, owner="b").kind == "go"


def test_a_minute_is_any_sixty_seconds_with_a_second_to_spare_for_the_way():
    # 2 requests in second 1000 leave the window at 1000 + 62; until then the third waits.
    counts = Counts(window={1000: [2, 0]})
    grant = ask(Limits(requests_per_minute=2), counts=counts, now=1030.5)
    assert (grant.kind, grant.seconds) == ("wait", 1000 + BUCKET_LIFE_S - 1030.5)
    assert BUCKET_LIFE_S == 62


def test_tokens_of_a_minute_wait_until_enough_have_passed():
    # 900 of 1000 used, 300 wanted: 200 too many. The 100 of second 990 do not free that, those of 995 do: 995 + 62 - 1000 = 57.
    counts = Counts(window={990: [1, 100], 995: [1, 300], 999: [1, 500]})
    grant = ask(Limits(tokens_per_minute=1000), counts=counts, tokens=300)
    assert (grant.kind, grant.seconds) == ("wait", 57.0)


def test_a_request_larger_than_a_minute_is_refused_instead_of_waiting_for_ever():
    grant = ask(Limits(tokens_per_minute=100), tokens=101)
    assert (grant.kind, grant.reason) == ("refused", "too_large") and "tokens_per_minute" in grant.text


@pytest.mark.parametrize(
    "budget, counts",
    [
        (Budget(max_requests=5), Counts(requests=5)),
        (Budget(max_tokens=100), Counts(tokens=91)),
        (Budget(max_cost=1.0), Counts(cost=0.95)),
    ],
)
def test_a_cap_refuses_before_it_is_passed(budget, counts):
    grant = ask(budget=budget, counts=counts, tokens=10, cost=0.1)
    assert (grant.kind, grant.reason) == ("refused", "budget")
    assert "conf.judge.budget.max_" in grant.text


def test_what_is_under_way_is_reserved_and_only_delays():
    # 60 spent, 35 reserved, 10 wanted of 100: it may fit once the calls under way have spent less than they reserved.
    counts = Counts(tokens=60, reserved_tokens=35)
    assert ask(budget=Budget(max_tokens=100), counts=counts, tokens=10).kind == "wait"
    counts.reserved_tokens = 30
    assert ask(budget=Budget(max_tokens=100), counts=counts, tokens=10).kind == "go"


def test_a_limit_that_stops_everything_is_refused():
    with pytest.raises(UserError, match="concurrency=0 would stop every request"):
        Limits(concurrency=0)
    with pytest.raises(UserError, match="max_cost=-1"):
        Budget(max_cost=-1)
