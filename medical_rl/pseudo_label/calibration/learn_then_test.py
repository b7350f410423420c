"""Learn-then-Test of the factuality risk (RULE, section 3.2): p-values, settings and the test itself.

The hypothesis that a p-value speaks against is "the true risk is alpha or more". In the p-values everything
broadcasts:
risk   FR, the share of wrong answers among the calibration questions, in [0, 1]
n      how many calibration questions, whole and at least 1
alpha  the risk that is tolerated, strictly between 0 and 1
They raise ValueError for numbers outside these ranges.

Each k of C_K is one such hypothesis; those that are rejected are kept. The family-wise error is held at delta
in one of two ways:
bonferroni      every k is tested at delta / |C_K|
fixed_sequence  the candidates are tested at delta one after the other, in the order in which
                conf.calibration.candidates lists them, and the first that fails ends the test. The order must
                be fixed before the errors are seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr
from scipy.stats import binom

from medical_rl.errors import UserError, unknown

MOST_ROWS = 100_000
CHOICES = {
    "method": ("bonferroni", "fixed_sequence"),
    "on_empty": ("stop", "best_k_without_guarantee", "no_retrieval"),
}


def hoeffding(risk, n, alpha):
    """p1 = exp(-n h1(min(FR, alpha), alpha)), in (0, 1]; h1: two Bernoullis' Kullback-Leibler divergence.

    >>> round(float(hoeffding(0.10, 200, 0.2)), 7)
    0.0006503
    """
    risk, n, alpha = _in_range(risk, n, alpha)
    low = np.minimum(risk, alpha)
    return np.exp(-n * (rel_entr(low, alpha) + rel_entr(1 - low, 1 - alpha)))


def bentkus(risk, n, alpha):
    """p2 = e P(Bin(n, alpha) <= ceil(n FR)), in (0, e].

    >>> round(float(bentkus(0.10, 200, 0.2)), 7)
    0.0002879
    """
    risk, n, alpha = _in_range(risk, n, alpha)
    return np.e * binom.cdf(_ceiling(n * risk), n, alpha)


def p_value(risk, n, alpha):
    """p = min(1, p1, p2): at most t with probability at most t, wherever the true risk is alpha or more.

    >>> float(p_value(0.2, 200, 0.2))
    1.0
    """
    return np.minimum(1.0, np.minimum(hoeffding(risk, n, alpha), bentkus(risk, n, alpha)))


def rows_needed(risk: float, alpha: float, threshold: float, more_than: int = 0) -> int | None:
    """The fewest questions, above `more_than`, at which the same FR gives p <= threshold.

    None where FR is not below alpha, when no number is enough, and where more than MOST_ROWS would be needed.

    >>> rows_needed(0.0, 0.2, 0.1), rows_needed(0.2, 0.2, 0.1)
    (11, None)
    """
    _in_range(risk, 1, alpha)
    n = np.arange(more_than + 1, MOST_ROWS + 1)
    if risk >= alpha or not n.size:
        return None
    passes = p_value(_ceiling(n * risk) / n, n, alpha) <= threshold
    return int(n[passes.argmax()]) if passes.any() else None


def _ceiling(errors):
    """`errors` rounded up, but not for a rounding error: 0.07 * 100 is 7.000000000000001, and 7 are meant."""
    return np.ceil(np.round(errors, 6))


def _in_range(risk, n, alpha) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three as arrays of floats. Raises ValueError for one outside its range."""
    risk, n, alpha = np.asarray(risk, float), np.asarray(n, float), np.asarray(alpha, float)
    # Written so that a NaN fails too.
    if not np.all((risk >= 0) & (risk <= 1)):
        raise ValueError(f"A risk is a share from 0 to 1, not {risk}.")
    if not np.all((n >= 1) & (n == np.floor(n)) & np.isfinite(n)):
        raise ValueError(f"n is a whole number of at least 1, not {n}.")
    if not np.all((alpha > 0) & (alpha < 1)):
        raise ValueError(f"alpha lies strictly between 0 and 1; it is {alpha}.")
    return risk, n, alpha


@dataclass(frozen=True)
class CalibrationSettings:
    """The part of conf/calibration that the test needs.

    candidates  C_K in the order in which `fixed_sequence` tests them; 0 stands for no retrieval
    alpha       the risk that is tolerated
    delta       the probability of being wrong about it that is tolerated
    method      how the family-wise error is held, one of CHOICES
    on_empty    what is done where no candidate passes, one of CHOICES
    """

    candidates: tuple[int, ...]
    alpha: float
    delta: float
    method: str
    on_empty: str

    @property
    def threshold(self) -> float:
        """The most a p-value may be: delta / |C_K| (bonferroni), or delta, one at a time (fixed_sequence)."""
        return self.delta / len(self.candidates) if self.method == "bonferroni" else self.delta


def calibration_settings(conf: Mapping) -> CalibrationSettings:
    """The settings of a `conf.calibration`, whose other fields say which rows are used.

    Raises UserError for one that could not work.
    """
    candidates = conf["candidates"]
    are_numbers = isinstance(candidates, list | tuple) and all(type(k) is int and k >= 0 for k in candidates)
    if not are_numbers or not candidates or len(set(candidates)) < len(candidates):
        raise UserError(
            f"conf.calibration.candidates={candidates!r}: give the numbers of retrieved reports to choose "
            "from, each once, as whole numbers from 0 (no retrieval), for instance [1, 2, 4]."
        )
    for name in ("alpha", "delta"):
        value = conf[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise UserError(f"conf.calibration.{name}={value!r} must lie strictly between 0 and 1.")
    if type(conf["of_labelled"]) is not bool:
        raise UserError(f"conf.calibration.of_labelled={conf['of_labelled']!r} must be true or false.")
    for name, available in CHOICES.items():
        if conf[name] not in available:
            raise unknown(f"choice for conf.calibration.{name}", conf[name], available)
    return CalibrationSettings(
        tuple(candidates), float(conf["alpha"]), float(conf["delta"]), conf["method"], conf["on_empty"]
    )


@dataclass(frozen=True)
class Candidate:
    """One k; `p` is min(1, p1, p2), `tested` False after a sequence's end, `kept` needs p <= threshold."""

    k: int
    n: int
    errors: int
    risk: float
    p1: float
    p2: float
    p: float
    threshold: float
    tested: bool
    kept: bool


def learn_then_test(
    errors: Mapping[int, Sequence[int]], settings: CalibrationSettings
) -> tuple[Candidate, ...]:
    """Every candidate with its figures and whether it is kept, as listed; see `calibrate` for `errors`."""
    counts, n = _error_counts(errors, settings.candidates)
    candidates, reached = [], True
    for k, wrong in zip(settings.candidates, counts, strict=True):
        p1, p2 = (float(bound(wrong / n, n, settings.alpha)) for bound in (hoeffding, bentkus))
        p = min(1.0, p1, p2)
        kept = reached and p <= settings.threshold
        candidates.append(Candidate(k, n, wrong, wrong / n, p1, p2, p, settings.threshold, reached, kept))
        # of a fixed sequence the first that fails is the last that is tested
        reached = kept or settings.method == "bonferroni"
    return tuple(candidates)


def _error_counts(errors: Mapping[int, Sequence[int]], candidates: Sequence[int]) -> tuple[list[int], int]:
    """(wrong answers of each candidate, n)."""
    if set(errors) != set(candidates):
        raise ValueError(
            f"There are errors for k in {sorted(errors)}; the candidates are {sorted(candidates)}."
        )
    lengths = {k: len(errors[k]) for k in candidates}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(
            f"Every k must be measured on the same questions, at least one; there are {lengths}."
        )
    for k in candidates:
        column = np.asarray(errors[k])
        if column.ndim != 1 or not np.isin(column, (0, 1)).all():
            raise ValueError(f"The errors for k={k} must be 0 or 1, one a question; an abstention is a 1.")
    return [int(sum(errors[k])) for k in candidates], lengths[candidates[0]]
