"""p-values of the factuality risk (RULE, section 3.2; Learn-then-Test): numbers or arrays in, numbers or arrays out.

The hypothesis that a p-value speaks against is "the true risk is alpha or more". Everything broadcasts:
risk   FR, the share of wrong answers among the calibration questions, in [0, 1]
n      how many calibration questions, whole and at least 1
alpha  the risk that is tolerated, strictly between 0 and 1
ValueError for numbers outside these ranges.
"""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr
from scipy.stats import binom

MOST_ROWS = 100_000


def hoeffding(risk, n, alpha):
    """p1 = exp(-n h1(min(FR, alpha), alpha)), in (0, 1]; h1 is the Kullback-Leibler divergence of two Bernoulli variables.

    >>> round(float(hoeffding(0.10, 200, 0.2)), 7)
    0.0006503
    """
    risk, n, alpha = _checked(risk, n, alpha)
    low = np.minimum(risk, alpha)
    return np.exp(-n * (rel_entr(low, alpha) + rel_entr(1 - low, 1 - alpha)))


def bentkus(risk, n, alpha):
    """p2 = e P(Bin(n, alpha) <= ceil(n FR)), in (0, e].

    >>> round(float(bentkus(0.10, 200, 0.2)), 7)
    0.0002879
    """
    risk, n, alpha = _checked(risk, n, alpha)
    return np.e * binom.cdf(_whole(n * risk), n, alpha)


def p_value(risk, n, alpha):
    """p = min(1, p1, p2): at most t with probability at most t, wherever the true risk is alpha or more.

    >>> float(p_value(0.2, 200, 0.2))
    1.0
    """
    return np.minimum(1.0, np.minimum(hoeffding(risk, n, alpha), bentkus(risk, n, alpha)))


def rows_needed(risk: float, alpha: float, threshold: float, more_than: int = 0) -> int | None:
    """The fewest calibration questions, above `more_than`, with which the same FR (its errors rounded up) gives p <= threshold.

    None where FR is not below alpha, when no number is enough, and where more than MOST_ROWS would be needed.

    >>> rows_needed(0.0, 0.2, 0.1), rows_needed(0.2, 0.2, 0.1)
    (11, None)
    """
    _checked(risk, 1, alpha)
    n = np.arange(more_than + 1, MOST_ROWS + 1)
    if risk >= alpha or not n.size:
        return None
    passes = p_value(_whole(n * risk) / n, n, alpha) <= threshold
    return int(n[passes.argmax()]) if passes.any() else None


def _whole(wrong):
    """`wrong` rounded up, but not because of a rounding error: 0.07 * 100 is 7.000000000000001, and 7 are meant."""
    return np.ceil(np.round(wrong, 6))


def _checked(risk, n, alpha) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three as arrays of floats."""
    risk, n, alpha = (np.asarray(value, dtype=float) for value in (risk, n, alpha))
    # Written so that a NaN fails too.
    if not np.all((risk >= 0) & (risk <= 1)):
        raise ValueError(f"A risk is a share from 0 to 1, not {risk}.")
    if not np.all((n >= 1) & (n == np.floor(n)) & np.isfinite(n)):
        raise ValueError(f"n is a whole number of at least 1, not {n}.")
    if not np.all((alpha > 0) & (alpha < 1)):
        raise ValueError(f"alpha lies strictly between 0 and 1; it is {alpha}.")
    return risk, n, alpha
