"""The p-values of the factuality risk: check values, order, and that they are p-values at all."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from medical_rl.pseudo_label.calibration.learn_then_test import bentkus, hoeffding, p_value, rows_needed

N = st.integers(1, 400)
ALPHA = st.floats(0.01, 0.99)


@pytest.mark.parametrize(
    ("risk", "n", "alpha", "p1", "p2"),
    [
        (0.10, 200, 0.2, 6.503e-4, 2.879e-4),
        (0.15, 1000, 0.2, 2.297e-4, 7.188e-5),
        (0.0, 50, 0.1, 5.154e-3, 1.401e-2),  # 0.9^50, and e times it: here Hoeffding's is the smaller
        (0.5, 2, 0.75, 0.75, math.e * 7 / 16),  # exp(-2 h1) = 4 x 0.75 x 0.25; P(Bin(2, 3/4) <= 1) = 1 - 9/16
    ],
)
def test_check_values_to_four_digits(risk, n, alpha, p1, p2):
    assert hoeffding(risk, n, alpha) == pytest.approx(p1, rel=2e-4)
    assert bentkus(risk, n, alpha) == pytest.approx(p2, rel=2e-4)
    assert p_value(risk, n, alpha) == pytest.approx(min(p1, p2, 1), rel=2e-4)


def test_a_risk_at_or_above_alpha_is_no_evidence_at_all():
    assert hoeffding(0.2, 100, 0.2) == hoeffding(0.7, 100, 0.2) == 1.0  # min(FR, alpha) = alpha: h1 = 0
    assert bentkus(0.7, 100, 0.2) == pytest.approx(math.e) and p_value(0.7, 100, 0.2) == 1.0
    assert p_value(1.0, 5, 0.9) == 1.0


def test_the_ceiling_is_not_raised_by_a_rounding_error():
    assert math.ceil(100 * 0.07) == 8  # the trap: 0.07 * 100 is 7.000000000000001
    assert bentkus(0.07, 100, 0.2) == pytest.approx(math.e * binom.cdf(7, 100, 0.2))
    # and a share that is no whole number of answers is rounded up: 7.5 to 8
    assert bentkus(0.075, 100, 0.2) == pytest.approx(math.e * binom.cdf(8, 100, 0.2))


def test_arrays_give_what_their_elements_give():
    risks = np.array([0.0, 0.1, 0.2, 0.9])
    assert p_value(risks, 200, 0.2).tolist() == [float(p_value(risk, 200, 0.2)) for risk in risks]
    assert p_value(0.1, [50, 100], [[0.2], [0.3]]).shape == (2, 2)


@given(N, ALPHA)
def test_p_is_a_p_value_for_every_true_risk_from_alpha_on(n, alpha):
    # p rises with the errors, so P(p <= its value at e errors) = P(Bin(n, alpha) <= e), which must be no more than that value.
    # A larger true risk makes few errors less likely still.
    errors = np.arange(n + 1)
    p = p_value(errors / n, n, alpha)
    assert np.all(p >= binom.cdf(errors, n, alpha) * (1 - 1e-9))
    assert np.all(np.diff(p) >= -1e-12) and np.all((p >= 0) & (p <= 1))


@given(N, ALPHA, st.integers(2, 5))
def test_the_same_risk_on_more_questions_is_stronger_evidence(n, alpha, times):
    risk = (n // 3) / n
    assert hoeffding(risk, times * n, alpha) == pytest.approx(
        hoeffding(risk, n, alpha) ** times, rel=1e-9, abs=1e-300
    )


@given(N, st.floats(0.01, 0.9), st.floats(0, 0.09), st.floats(0, 1))
def test_a_larger_alpha_is_easier_to_pass(n, alpha, more, share):
    risk = round(share * n) / n
    assert p_value(risk, n, alpha + more) <= p_value(risk, n, alpha) + 1e-12


@pytest.mark.parametrize(
    ("risk", "n", "alpha", "says"),
    [
        (-0.1, 10, 0.2, "risk"),
        (1.1, 10, 0.2, "risk"),
        (math.nan, 10, 0.2, "risk"),
        (0.1, 0, 0.2, "n is"),
        (0.1, 10.5, 0.2, "n is"),
        (0.1, math.inf, 0.2, "n is"),
        (0.1, 10, 0.0, "alpha"),
        (0.1, 10, 1.0, "alpha"),
        ([0.1, 2.0], 10, 0.2, "risk"),
    ],
)
@pytest.mark.parametrize("function", [hoeffding, bentkus, p_value])
def test_numbers_outside_the_ranges_are_refused(function, risk, n, alpha, says):
    with pytest.raises(ValueError, match=says):
        function(risk, n, alpha)


@pytest.mark.parametrize(("risk", "threshold"), [(0.0, 0.1), (0.1, 0.02), (0.15, 0.05)])
def test_rows_needed_is_the_first_number_that_passes(risk, threshold):
    found = rows_needed(risk, 0.2, threshold)
    passes = [p_value(math.ceil(round(n * risk, 6)) / n, n, 0.2) <= threshold for n in range(1, found + 1)]
    assert passes.index(True) == found - 1
    assert rows_needed(risk, 0.2, threshold, more_than=found) > found


def test_rows_needed_is_none_where_no_number_is_enough():
    assert rows_needed(0.0, 0.2, 0.1) == 11  # 0.8^11 = 0.086 <= 0.1 < 0.107 = 0.8^10
    assert rows_needed(0.2, 0.2, 0.1) is None and rows_needed(0.3, 0.2, 0.1) is None
    assert rows_needed(0.1999, 0.2, 0.1) is None  # about 2.3 x 2 x 0.16 / 0.0001^2 = 74 million
