"""Which rows a step sees, and the losses."""

import math

import pytest

from medical_rl.errors import UserError
from medical_rl.reward_model.training.dataset import (
    batches,
    indices_by_name,
    learning_rate_share,
    preference_pairs,
    process_share,
    steps_of,
)

GROUPS = [[0, 1, 2], [3, 4], [5, 6, 7, 8], [9]]


def test_a_plan_is_the_same_every_time_and_every_pass_has_every_row():
    plan = list(batches(GROUPS, 5, 4, seed=3))
    assert plan == list(batches(GROUPS, 5, 4, seed=3)) != list(batches(GROUPS, 5, 4, seed=4))
    # ten rows are two batches of five: the first two steps are one pass, the next two another
    assert sorted(plan[0] + plan[1]) == sorted(plan[2] + plan[3]) == list(range(10))
    assert plan[:2] != plan[2:]


def test_the_rows_of_an_image_stand_beside_each_other():
    order = sum(batches(GROUPS, 5, 2, seed=0), [])
    for group in GROUPS:
        places = [order.index(i) for i in group]
        assert places == list(range(places[0], places[0] + len(group)))


def test_what_is_left_of_a_pass_is_left_out():
    assert all(len(batch) == 4 for batch in batches(GROUPS, 4, 7, seed=0))


def test_processes_share_a_batch_equally_or_not_at_all():
    parts = [process_share(list(range(8)), rank, 2) for rank in (0, 1)]
    assert parts == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(UserError, match="3 processes"):
        process_share(list(range(8)), 0, 3)


def test_steps_or_epochs_but_not_both():
    assert steps_of(100, 30, 2.0, None) == 6
    for epochs, steps in ((None, None), (1, 1)):
        with pytest.raises(UserError, match="either epochs or steps"):
            steps_of(100, 30, epochs, steps)
    with pytest.raises(UserError, match="fewer than one batch"):
        steps_of(8, 30, None, 5)


def test_pairs_are_of_one_sample_and_never_of_equal_grades():
    # a: 10 over 0, 10 over 0 (the two zeros are no pair); b: one row, no pair
    assert preference_pairs(["a", "a", "b", "a"], [0.0, 10.0, 6.0, 0.0]) == [(1, 0), (1, 3)]


def test_the_rate_rises_then_falls_to_nearly_nothing():
    found = [learning_rate_share(step, 100, 0.1) for step in range(100)]
    assert (
        found[9] == 1.0
        and found[:10] == sorted(found[:10])
        and found[10:] == sorted(found[10:], reverse=True)
    )
    assert 0 < found[-1] < 0.001


def test_groups_keep_the_order_of_their_first_row():
    assert indices_by_name(["b", "a", "b"]) == [[0, 2], [1]]


def test_an_unknown_criterion_grade_counts_for_nothing():
    torch = pytest.importorskip("torch")
    from medical_rl.reward_model.training.train import mse

    nan = float("nan")
    scores = torch.tensor([[10.0, 4.0], [0.0, 100.0]], requires_grad=True)
    loss = mse(scores, torch.tensor([[10.0, 10.0], [6.0, nan]]), criteria_weight=0.5)
    # totals: (0 + 1) / 2; the one known criterion: (-6/6)^2 = 1, half of it
    assert loss.item() == pytest.approx(0.5 + 0.5)
    loss.backward()
    assert scores.grad[1, 1].item() == 0.0 and not scores.grad.isnan().any()
    # none known: the totals alone
    assert mse(scores, torch.tensor([[10.0, nan], [6.0, nan]]), 0.5).item() == pytest.approx(0.5)


def test_pairwise_loss_asks_for_margins_and_holds_the_level():
    torch = pytest.importorskip("torch")
    from medical_rl.reward_model.training.train import pairwise

    better, worse = torch.tensor([[1.0], [0.0]]), torch.tensor([[-1.0], [0.0]])
    # margins 2 and 0, sums 0 and 0: (log(1 + e^-2) + log 2) / 2
    assert pairwise(better, worse).item() == pytest.approx((math.log1p(math.exp(-2)) + math.log(2)) / 2)
    # the same margins five higher: sums of 10, 0.01 x 100 more
    assert (pairwise(better + 5, worse + 5) - pairwise(better, worse)).item() == pytest.approx(1.0)
