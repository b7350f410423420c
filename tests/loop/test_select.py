"""Which candidates are kept, and which of them are new to D_gen."""

import math

import pytest

from medical_rl.errors import UserError
from medical_rl.loop.check import kept_positions, new_positions
from medical_rl.reward_model.training.rows import reward_model_groups

SCORES = [9.5, -5.0, 5.0, 7.0, 7.0, 0.1]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"by": "tau", "tau": 5.0}, [0, 3, 4]),  # above, not at
        ({"by": "tau", "tau": 10.0}, []),
        ({"by": "top_k", "k": 2}, [0, 3]),  # of equal scores the earlier
        ({"by": "top_k", "k": 99}, [0, 1, 2, 3, 4, 5]),
        ({"by": "quantile", "quantile": 0.5}, [0, 3, 4]),  # the best half of six
        ({"by": "none"}, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_what_each_filter_keeps(rule, expected):
    assert kept_positions(SCORES, rule, seed=1) == expected


def test_random_k_does_not_look_at_the_scores_and_depends_on_the_seed():
    rule = {"by": "random_k", "k": 3}
    drawn = {tuple(kept_positions(SCORES, rule, seed)) for seed in range(40)}
    assert len(drawn) > 5 and all(len(d) == 3 for d in drawn)
    assert kept_positions(SCORES, rule, 7) == kept_positions(list(reversed(SCORES)), rule, 7)


def test_a_score_that_is_no_number_is_an_error_and_no_bad_sample():
    with pytest.raises(UserError, match="no finite number; the first is number 1"):
        kept_positions([1.0, math.nan], {"by": "none"}, seed=0)


def test_what_d_gen_holds_is_not_added_unless_overlap_is_allowed():
    assert new_positions({"x"}, ["x", "y", "y", "z"], allow_overlap=False) == [1, 3]
    assert new_positions({"x"}, ["x", "y", "y", "z"], allow_overlap=True) == [0, 1, 2, 3]


def test_no_patient_is_both_rated_and_asked_about():
    groups = [f"p{i % 10}" for i in range(40)]  # ten patients, four rows each
    chosen = reward_model_groups(groups, 10, seed=3)
    assert len(chosen) == 3  # 3 x 4 = 12 >= 10
    assert reward_model_groups(reversed(groups), 10, seed=3) == chosen  # not by the order of the rows
    assert any(reward_model_groups(groups, 10, seed) != chosen for seed in range(5))


def test_r_phi_may_not_take_every_row():
    with pytest.raises(UserError, match="leaves none for the generator"):
        reward_model_groups(["a", "b"], 2, seed=0)
