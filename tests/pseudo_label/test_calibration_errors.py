"""From labels to errors: an abstention is wrong, a failure is nobody's error."""

from dataclasses import dataclass

import pytest

from medical_rl.errors import UserError
from medical_rl.pseudo_label.calibration.calibrate import calibrate, errors_by_k


@dataclass(frozen=True)
class Label:
    id: str
    answer: str | None
    failed: str | None = None


GOLD = {"a": "yes", "b": "no", "c": "yes", "d": "yes"}


def labels(*answers):
    return [Label(i, answer) for i, answer in zip(GOLD, answers, strict=True)]


def test_an_abstention_counts_as_an_error():
    found = errors_by_k(GOLD, {1: labels("yes", "yes", None, "yes"), 2: labels("Yes ", "no", "yes", "yes")})
    assert found.by_k == {1: (0, 1, 1, 0), 2: (0, 0, 0, 0)}
    assert found.abstained == {1: 1, 2: 0} and found.failed == () and found.ids == tuple(GOLD)
    assert found.majority_rate == 0.75


def test_a_failed_question_is_left_out_at_every_k():
    broken = [*labels("yes", "yes", "yes", "yes")[:3], Label("d", None, failed="timeout")]
    found = errors_by_k(GOLD, {1: broken, 2: list(reversed(labels("no", "no", "no", "no")))})
    assert found.by_k == {1: (0, 1, 0), 2: (1, 0, 1)}  # in the order of the gold answers
    assert found.failed == ("d",) and found.abstained == {1: 0, 2: 0}
    assert found.majority_rate == pytest.approx(2 / 3)


def test_errors_go_into_a_calibration_as_they_are(rule):
    found = errors_by_k(GOLD, {1: labels("yes", "no", "yes", None)})
    outcome = calibrate(
        found.by_k, rule(candidates=[1], on_empty="no_retrieval"), majority_rate=found.majority_rate
    )
    assert outcome.candidates[0].risk == 0.25 and outcome.chosen == 0


def test_labels_of_other_questions_are_refused():
    with pytest.raises(ValueError, match=r"k=1 .*'d'"):
        errors_by_k(GOLD, {1: labels("yes", "no", "yes", "yes")[:3]})


def test_a_labeller_that_always_fails_is_a_user_error_with_its_reason():
    with pytest.raises(UserError, match="failed on all 4 calibration questions, mostly: HTTP 503"):
        errors_by_k(GOLD, {1: [Label(i, None, failed="HTTP 503") for i in GOLD]})
    with pytest.raises(UserError, match="there are none"):
        errors_by_k({}, {1: []})
