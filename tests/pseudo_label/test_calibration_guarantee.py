"""The guarantee, by simulation: how often is any k kept whose true risk is above alpha?

1,000 calibrations are drawn, so the share of broken ones may exceed delta = 0.1 by chance; three standard errors are
allowed: 3 sqrt(0.1 x 0.9 / 1000) = 0.028. Rules without a correction go far beyond, which shows that the test can fail.
"""

import math

import numpy as np
import pytest

from medical_rl.pseudo_label.calibration.calibrate import calibrate
from medical_rl.pseudo_label.calibration.learn_then_test import CalibrationSettings, p_value

ALPHA, DELTA, N, DRAWS = 0.2, 0.1, 200, 1000
ALLOWED = DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / DRAWS)
JUST_ABOVE = ALPHA + 1e-6

# True risks in the order of a fixed sequence: the worst case (every k just above alpha), a good beginning, a good end, around alpha.
SCENARIOS = {
    "all just above": [JUST_ABOVE] * 20,
    "good ones first": [0.05, 0.1, JUST_ABOVE, JUST_ABOVE, 0.3, 0.1],
    "bad ones first": [JUST_ABOVE, 0.3, 0.19, 0.1],
    "around alpha": [0.17, 0.18, 0.19, 0.199, JUST_ABOVE, 0.201, 0.21, 0.22, 0.25],
}


def draws(risks, together, seed=0):
    """Errors (draw, question, k): of each k on its own, or all k by the same difficulty of the question, as answers of one model."""
    rng = np.random.default_rng(seed)
    for _ in range(DRAWS):
        yield rng.random((N, 1 if together else len(risks))) < np.asarray(risks)


def broken_share(risks, method, together):
    """Share of calibrations that keep a k whose true risk is above alpha."""
    settings = CalibrationSettings(tuple(range(len(risks))), ALPHA, DELTA, method, "no_retrieval")
    bad = {k for k, risk in enumerate(risks) if risk > ALPHA}
    kept = (calibrate(dict(enumerate(errors.T)), settings).kept for errors in draws(risks, together))
    return sum(bool(bad & set(one)) for one in kept) / DRAWS


@pytest.mark.parametrize("method", ["bonferroni", "fixed_sequence"])
@pytest.mark.parametrize(
    ("name", "together"),
    [*((name, False) for name in SCENARIOS), ("all just above", True), ("around alpha", True)],
)
def test_a_k_above_alpha_is_kept_at_most_as_often_as_delta(name, method, together):
    assert broken_share(SCENARIOS[name], method, together) <= ALLOWED


def test_control_each_k_at_delta_without_a_correction_breaks_the_guarantee():
    risks = SCENARIOS["all just above"]
    broken = [
        bool((p_value(errors.mean(axis=0), N, ALPHA) <= DELTA).any())
        for errors in draws(risks, together=False)
    ]
    assert np.mean(broken) > 2 * ALLOWED


def test_control_believing_the_measured_risk_breaks_the_guarantee():
    for name in ("all just above", "around alpha"):
        risks = np.array(SCENARIOS[name])
        broken = [
            bool((errors.mean(axis=0) <= ALPHA)[risks > ALPHA].any())
            for errors in draws(risks, together=False)
        ]
        assert np.mean(broken) > 5 * ALLOWED


def test_control_a_sequence_ordered_by_the_measured_risk_breaks_the_guarantee():
    risks, broken = SCENARIOS["all just above"], 0
    for errors in draws(risks, together=False):
        order = tuple(int(k) for k in np.argsort(errors.mean(axis=0), kind="stable"))
        settings = CalibrationSettings(order, ALPHA, DELTA, "fixed_sequence", "no_retrieval")
        broken += bool(calibrate(dict(enumerate(errors.T)), settings).kept)
    assert broken / DRAWS > 2 * ALLOWED


@pytest.mark.parametrize("method", ["bonferroni", "fixed_sequence"])
def test_a_k_clearly_below_alpha_is_kept(method):
    # 200 questions, five candidates: p <= 0.02 needs at most 26 wrong; P(Bin(200, 0.08) <= 26) = 0.995
    risks = [0.08, 0.3, 0.3, 0.3, 0.3]
    settings = CalibrationSettings(tuple(range(5)), ALPHA, DELTA, method, "no_retrieval")
    found = [calibrate(dict(enumerate(errors.T)), settings) for errors in draws(risks, together=False)]
    assert np.mean([one.kept == (0,) for one in found]) > 0.97 and {one.chosen for one in found} == {0}
