"""Which k are kept, which is chosen, and what happens where none is kept."""

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_rl.errors import UserError
from medical_rl.pseudo_label.calibration.calibrate import NothingKept, calibrate
from medical_rl.pseudo_label.calibration.learn_then_test import (
    CalibrationSettings,
    calibration_settings,
    learn_then_test,
)

# Of 200 questions at alpha 0.2, by exact fractions: 20 wrong give p 2.879e-4, 26 give 0.01749, 28 give 0.04874, 31 give 0.1719.


def test_a_worked_example_by_bonferroni(rule, wrong):
    found = calibrate(wrong(200, {1: 28, 2: 26, 4: 20}), rule())
    assert [(c.k, c.n, c.errors, c.risk, c.kept) for c in found.candidates] == [
        (1, 200, 28, 0.14, False),  # 0.0487 > 0.1 / 3
        (2, 200, 26, 0.13, True),
        (4, 200, 20, 0.1, True),
    ]
    assert [c.p for c in found.candidates] == pytest.approx([0.04874, 0.01749, 2.879e-4], rel=5e-4)
    assert {c.threshold for c in found.candidates} == {0.1 / 3}
    assert found.kept == (2, 4) and found.chosen == 4 and found.guarantee
    assert "at least 0.9" in found.sentence and "at most 0.2 for every kept k (2, 4)" in found.sentence
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.chosen = 2


def test_a_fixed_sequence_tests_each_at_delta_and_ends_at_the_first_that_fails(rule, wrong):
    counts = {1: 28, 2: 31, 4: 20}
    found = calibrate(wrong(200, counts), rule(method="fixed_sequence"))
    # 0.0487 <= 0.1 passes here and not by bonferroni; 0.172 fails; 4 is not reached although its p is tiny
    assert [(c.k, c.tested, c.kept) for c in found.candidates] == [
        (1, True, True),
        (2, True, False),
        (4, False, False),
    ]
    assert found.kept == (1,) and found.candidates[2].p == pytest.approx(2.879e-4, rel=1e-3)
    # the order is the one listed, not that of the errors' dict nor that of the numbers
    listed = rule(method="fixed_sequence", candidates=[4, 1, 2])
    assert calibrate(wrong(200, counts), listed).kept == (1, 4)


def test_equal_risks_go_to_the_smallest_k_in_whatever_order_they_are_listed(rule, wrong):
    for candidates in ([1, 2, 4], [4, 2, 1]):
        assert calibrate(wrong(200, {1: 22, 2: 20, 4: 20}), rule(candidates=candidates)).chosen == 2


def test_no_retrieval_can_be_a_candidate_of_its_own(rule, wrong):
    found = calibrate(wrong(200, {0: 10, 1: 20}), rule(candidates=[0, 1]))
    assert found.kept == (0, 1) and found.chosen == 0 and found.guarantee


def test_stop_is_a_user_error_that_tells_the_figures_and_what_could_be_done(rule, wrong):
    with pytest.raises(NothingKept) as caught:
        calibrate(wrong(60, {1: 13, 2: 9, 4: 11}), rule())
    said = str(caught.value)
    assert isinstance(caught.value, UserError) and caught.value.exit_code == 2 and "\n" not in said
    assert "conf.calibration.candidates=[1, 2, 4]" in said and "60 calibration questions" in said
    assert "bonferroni needs p <= 0.0333" in said
    assert "k=1: FR 0.217 (13 wrong), p 1, which no number of rows makes pass" in said
    assert "k=2: FR 0.150 (9 wrong), p 0.58, which could pass with 333 rows" in said
    for remedy in ("Raise conf.calibration.alpha", "more rows (conf.calibration.share or rows)", "better retriever or labeller",
                   "best_k_without_guarantee or no_retrieval", "on other questions (conf.seed)"):  # fmt: skip
        assert remedy in said
    outcome = caught.value.outcome
    assert (
        outcome.chosen is None
        and not outcome.guarantee
        and outcome.kept == ()
        and len(outcome.candidates) == 3
    )
    assert str(pickle.loads(pickle.dumps(caught.value))) == said


def test_the_rows_that_the_error_names_are_enough_and_one_fewer_is_not(rule, wrong):
    # FR 0.15 needs p <= 0.0333. 50 of 333 wrong: 0.0318; 50 of 332: 0.0340 (both by exact fractions)
    assert calibrate(wrong(333, {1: 300, 2: 50, 4: 300}), rule()).kept == (2,)
    with pytest.raises(NothingKept):
        calibrate(wrong(332, {1: 300, 2: 50, 4: 300}), rule())


def test_an_ended_sequence_says_which_k_were_not_tested(rule, wrong):
    with pytest.raises(
        NothingKept, match=r"k=4: .* \(not tested\), which passes by itself.* list first what is expected"
    ):
        calibrate(wrong(200, {1: 40, 2: 39, 4: 20}), rule(method="fixed_sequence"))


def test_the_best_k_can_be_taken_and_is_said_to_have_no_guarantee(rule, wrong):
    found = calibrate(wrong(60, {1: 13, 2: 9, 4: 9}), rule(on_empty="best_k_without_guarantee"))
    assert (found.chosen, found.kept, found.guarantee) == (2, (), False)
    assert found.sentence.startswith("No guarantee") and "0.150 (9 of 60 wrong)" in found.sentence


def test_no_retrieval_can_be_the_way_out_without_being_a_candidate(rule, wrong):
    found = calibrate(wrong(60, {1: 13, 2: 9, 4: 9}), rule(on_empty="no_retrieval"))
    assert (found.chosen, found.kept, found.guarantee) == (0, (), False)
    assert "without retrieval (k = 0)" in found.sentence


def test_questions_about_the_same_studies_give_no_guarantee(rule, wrong):
    errors = wrong(200, {1: 20, 2: 40, 4: 40})
    found = calibrate(errors, rule(), studies=80)
    assert found.kept == (1,) and found.chosen == 1 and not found.guarantee
    assert "about 80 studies" in found.sentence and "conf.calibration.per_study=1" in found.sentence
    assert calibrate(errors, rule(), studies=200).guarantee


@pytest.mark.parametrize(
    ("errors", "says"),
    [
        ({1: [0, 1], 2: [0]}, "same questions"),
        ({1: [], 2: []}, "at least one"),
        ({1: [0, 1], 2: [0, 2]}, "k=2 must be 0 or 1"),
        ({1: [0, None], 2: [0, 1]}, "an abstention is a 1"),  # never silently left out
        ({1: [0.0, float("nan")], 2: [0, 1]}, "k=1 must be 0 or 1"),
        ({1: ["0", "1"], 2: [0, 1]}, "k=1 must be 0 or 1"),
        ({1: [[0, 1]], 2: [[0, 1]]}, "one a question"),
        ({1: [0, 1]}, "candidates are"),
        ({1: [0, 1], 2: [0, 1], 3: [0, 0]}, "candidates are"),
    ],
)
def test_errors_that_are_none_are_refused(rule, errors, says):
    with pytest.raises(ValueError, match=says):
        calibrate(errors, rule(candidates=[1, 2]))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"candidates": []}, "candidates"),
        ({"candidates": [1, 1]}, "each once"),
        ({"candidates": [1, -2]}, "whole numbers from 0"),
        ({"candidates": [1, True]}, "whole numbers"),
        ({"candidates": 3}, "candidates=3"),
        ({"alpha": 0}, "alpha=0 must lie strictly between"),
        ({"delta": 1.0}, "delta=1.0 must lie strictly between"),
        ({"alpha": "0.2"}, "alpha='0.2'"),
        ({"method": "bonferoni"}, "Did you mean 'bonferroni'"),
        ({"on_empty": "ignore"}, "Available: best_k_without_guarantee, no_retrieval, stop"),
    ],
)
def test_settings_that_could_not_work_are_user_errors(rule, changed, says):
    with pytest.raises(UserError, match=says):
        rule(**changed)


def test_the_shipped_settings_compose():
    from omegaconf import OmegaConf

    from medical_rl.config.compose import choices, choose

    assert choices("calibration") == ["ltt"]
    conf = OmegaConf.to_container(choose("calibration", "ltt"), resolve=True)
    settings = calibration_settings(conf)
    assert settings.on_empty == "stop" and settings.threshold == pytest.approx(0.1 / 5)
    assert (conf["share"], conf["rows"], conf["per_study"]) == (0.25, None, 1)


COUNTS = st.lists(st.integers(0, 60), min_size=1, max_size=6)


def errors_of(counts):
    return {k: np.arange(60) < count for k, count in enumerate(counts)}


def settings_of(counts, method, delta=0.1):
    return CalibrationSettings(tuple(range(len(counts))), 0.4, delta, method, "no_retrieval")


@given(
    COUNTS, st.sampled_from(["bonferroni", "fixed_sequence"]), st.floats(0.001, 0.4), st.floats(0.001, 0.4)
)
def test_a_stricter_delta_keeps_no_more(counts, method, one, other):
    strict, loose = (
        set(calibrate(errors_of(counts), settings_of(counts, method, d)).kept) for d in sorted((one, other))
    )
    assert strict <= loose


@given(COUNTS, st.sampled_from(["bonferroni", "fixed_sequence"]), st.data())
def test_one_more_error_never_gets_any_k_kept(counts, method, data):
    place = data.draw(st.integers(0, len(counts) - 1))
    worse = [min(60, count + (i == place)) for i, count in enumerate(counts)]
    before, after = (set(calibrate(errors_of(c), settings_of(c, method)).kept) for c in (counts, worse))
    assert after <= before


@given(COUNTS)
def test_a_fixed_sequence_keeps_a_beginning_of_the_list(counts):
    kept = [c.kept for c in learn_then_test(errors_of(counts), settings_of(counts, "fixed_sequence"))]
    assert kept == sorted(kept, reverse=True)
    alone = [
        bool(c.p <= 0.1) for c in learn_then_test(errors_of(counts), settings_of(counts, "fixed_sequence"))
    ]
    assert kept == [all(alone[: i + 1]) for i in range(len(alone))]


@given(COUNTS, st.sampled_from(["bonferroni", "fixed_sequence"]))
def test_the_chosen_k_is_kept_and_none_kept_is_better(counts, method):
    found = calibrate(errors_of(counts), settings_of(counts, method))
    assert found.guarantee == bool(found.kept)
    if found.kept:
        assert found.chosen in found.kept and counts[found.chosen] == min(counts[k] for k in found.kept)
    else:
        assert found.chosen == 0
