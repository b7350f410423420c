"""How many retrieved reports an answer is given with: Learn-then-Test over the candidates C_K (RULE, section 3.2).

Each k is a hypothesis "with k reports the factuality risk is alpha or more"; those that are rejected are kept. The family-wise
error is held at delta in one of two ways:
bonferroni      every k is tested at delta / |C_K|
fixed_sequence  the candidates are tested at delta one after the other, in the order in which conf.calibration.candidates lists
                them, and the first that fails ends the test. The order must be fixed before the errors are seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medical_rl.pseudo_label.calibration.empty import NothingKept, advice, fallback
from medical_rl.pseudo_label.calibration.risk import bentkus, hoeffding
from medical_rl.pseudo_label.calibration.settings import CalibrationSettings


@dataclass(frozen=True)
class Candidate:
    """One k. `p` is min(1, p1, p2); `tested` is False after the end of a fixed sequence; `kept` needs p <= threshold."""

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


@dataclass(frozen=True)
class Calibration:
    """The outcome.

    candidates     in the order listed, which is the order of a fixed sequence
    kept           every k that passed, ascending
    chosen         the kept k with the smallest FR, of equal ones the smallest k; without a kept one as `on_empty` says
                   (None for stop)
    guarantee      whether P(the true risk of every kept k <= alpha) >= 1 - delta can be said
    sentence       what can be said, for people
    studies        how many studies the questions are about; None where unknown
    majority_rate  share of the questions' most frequent gold answer; None where unknown
    """

    candidates: tuple[Candidate, ...]
    alpha: float
    delta: float
    method: str
    on_empty: str
    kept: tuple[int, ...]
    chosen: int | None
    guarantee: bool
    sentence: str
    studies: int | None = None
    majority_rate: float | None = None


def calibrate(
    errors: Mapping[int, Sequence[int]],
    settings: CalibrationSettings,
    *,
    studies: int | None = None,
    majority_rate: float | None = None,
) -> Calibration:
    """The outcome for `errors`: for each candidate k its answers to the same n questions, in the same order.

    errors   1 for a wrong answer, 0 for a right one. An abstention or an unparsed answer is wrong: it is a 1, and no gap.
             (`calibration_errors.errors_by_k` makes them so of labels.)
    studies  how many different studies the questions are about. Fewer than n: they are not independent, and no guarantee is given.

    ValueError for errors that are not 0 or 1, not of the same n >= 1 questions, or not of the settings' candidates.
    NothingKept (a UserError) where no k passes and conf.calibration.on_empty is stop.

    >>> rule = CalibrationSettings((1, 2), alpha=0.2, delta=0.1, method="bonferroni", on_empty="stop")
    >>> found = calibrate({1: [0] * 170 + [1] * 30, 2: [0] * 180 + [1] * 20}, rule)
    >>> found.kept, found.chosen, found.guarantee
    ((2,), 2, True)
    """
    candidates = measured(errors, settings)
    passed = [c for c in candidates if c.kept]
    told = {"studies": studies, "majority_rate": majority_rate}
    if not passed:
        outcome = _outcome(candidates, settings, *fallback(candidates, settings), False, **told)
        if settings.on_empty == "stop":
            raise NothingKept(advice(candidates, settings), outcome)
        return outcome
    best = min(passed, key=lambda c: (c.errors, c.k))
    independent = studies is None or studies >= best.n
    return _outcome(
        candidates, settings, best.k, _sentence(passed, best, settings, studies), independent, **told
    )


def measured(errors: Mapping[int, Sequence[int]], settings: CalibrationSettings) -> tuple[Candidate, ...]:
    """Every candidate with its figures and whether it is kept, in the order listed."""
    counts, n = _counted(errors, settings.candidates)
    p1 = hoeffding(counts / n, n, settings.alpha)
    p2 = bentkus(counts / n, n, settings.alpha)
    p = np.minimum(1.0, np.minimum(p1, p2))
    passes = p <= settings.threshold
    reached = np.ones(len(p), dtype=bool)
    if settings.method == "fixed_sequence":
        # The first that fails is the last that is tested.
        reached[1:] = np.logical_and.accumulate(passes)[:-1]
    return tuple(
        Candidate(k, n, int(counts[i]), float(counts[i] / n), float(p1[i]), float(p2[i]), float(p[i]),
                  settings.threshold, bool(reached[i]), bool(reached[i] and passes[i]))
        for i, k in enumerate(settings.candidates)
    )  # fmt: skip


def _counted(errors: Mapping[int, Sequence[int]], candidates: Sequence[int]) -> tuple[np.ndarray, int]:
    """(wrong answers of each candidate, n)."""
    if set(errors) != set(candidates):
        raise ValueError(
            f"There are errors for k in {sorted(errors)}; the candidates are {sorted(candidates)}."
        )
    columns = {k: np.asarray(errors[k]) for k in candidates}
    for k, column in columns.items():
        if column.ndim != 1 or column.dtype.kind not in "biuf" or not np.all((column == 0) | (column == 1)):
            raise ValueError(f"The errors for k={k} must be 0 or 1, one a question; an abstention is a 1.")
    lengths = {k: len(column) for k, column in columns.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(
            f"Every k must be measured on the same questions, at least one; there are {lengths}."
        )
    return np.array([int(column.sum()) for column in columns.values()]), lengths[candidates[0]]


def _outcome(
    candidates, settings: CalibrationSettings, chosen, sentence: str, guarantee: bool, **told
) -> Calibration:
    kept = tuple(sorted(c.k for c in candidates if c.kept))
    given = (settings.alpha, settings.delta, settings.method, settings.on_empty)
    return Calibration(candidates, *given, kept, chosen, guarantee, sentence, **told)


def _sentence(
    passed: Sequence[Candidate], best: Candidate, settings: CalibrationSettings, studies: int | None
) -> str:
    kept = ", ".join(str(k) for k in sorted(c.k for c in passed))
    said = (
        f"With probability at least {1 - settings.delta:g} over the draw of the {best.n} calibration questions, the true factuality "
        f"risk of this labeller with this retriever is at most {settings.alpha:g} for every kept k ({kept}), and so for the chosen "
        f"k = {best.k}. This takes the questions for independent draws from those that are labelled later."
    )
    if studies is None or studies >= best.n:
        return said
    return (
        f"No strict guarantee: k = {kept} passed the test, but the {best.n} questions are about {studies} studies, and questions "
        "about one study are not independent. conf.calibration.per_study=1 asks one question a study."
    )
