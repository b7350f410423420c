"""What is done where no k passes (conf.calibration.on_empty): stop, the best k without a guarantee, or no retrieval.

None of the three has a guarantee, and each says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from medical_rl.errors import UserError
from medical_rl.pseudo_label.calibration.risk import MOST_ROWS, rows_needed
from medical_rl.pseudo_label.calibration.settings import CalibrationSettings


class NothingKept(UserError):
    """No k passed and conf.calibration.on_empty is stop. `outcome` holds the figures, for a table or a picture of them."""

    def __init__(self, message: str, outcome=None):
        super().__init__(message, outcome)  # both, so that it can be pickled
        self.outcome = outcome

    def __str__(self) -> str:
        return self.args[0]


def _stop(candidates: Sequence) -> tuple[None, str]:
    return None, "Nothing is chosen."


def _best(candidates: Sequence) -> tuple[int, str]:
    best = min(candidates, key=lambda c: (c.errors, c.k))
    seen = f"{best.risk:.3f} ({best.errors} of {best.n} wrong)"
    return (
        best.k,
        f"k = {best.k} is used because its risk on the calibration questions is the smallest: {seen}.",
    )


def _none(candidates: Sequence) -> tuple[int, str]:
    return 0, "Answers are given without retrieval (k = 0)."


# conf.calibration.on_empty -> what is chosen, and why, for people
ON_EMPTY: dict[str, Callable] = {"stop": _stop, "best_k_without_guarantee": _best, "no_retrieval": _none}


def fallback(candidates: Sequence, settings: CalibrationSettings) -> tuple[int | None, str]:
    """(the k taken although no candidate passed, the sentence that says so); k is None for stop."""
    chosen, why = ON_EMPTY[settings.on_empty](candidates)
    return chosen, (
        f"No guarantee: no candidate k is shown to have a factuality risk of at most {settings.alpha:g} with confidence "
        f"{1 - settings.delta:g}. {why}"
    )


def advice(candidates: Sequence, settings: CalibrationSettings) -> str:
    """One paragraph: every k with its risk and p-value, how many rows could have been enough, and what else could be done."""
    n = candidates[0].n
    figures = "; ".join(
        f"k={c.k}: FR {c.risk:.3f} ({c.errors} wrong), p {c.p:.3g}{'' if c.tested else ' (not tested)'}, {_rows(c, settings)}"
        for c in candidates
    )
    order = (
        " A fixed sequence ends at the first k that fails, so list first what is expected to do best, before any figure is seen."
        if settings.method == "fixed_sequence"
        else ""
    )
    return (
        f"None of the candidates k (conf.calibration.candidates={list(settings.candidates)}) is shown to have a factuality risk of at "
        f"most alpha={settings.alpha:g} with confidence {1 - settings.delta:g} on {n} calibration questions: {settings.method} needs "
        f"p <= {settings.threshold:.3g}. {figures}.{order} Raise conf.calibration.alpha, calibrate on more rows "
        "(conf.calibration.share or rows), take a better retriever or labeller, or go on without a guarantee with "
        "conf.calibration.on_empty=best_k_without_guarantee or no_retrieval. What is changed because of these figures should be "
        "tested on other questions (conf.seed): tested on these again, the guarantee would not hold."
    )


def _rows(candidate, settings: CalibrationSettings) -> str:
    """The fewest rows with which this candidate could pass if its FR stayed what it is."""
    if candidate.p <= settings.threshold:  # behind the end of a fixed sequence
        return "which passes by itself"
    if candidate.risk >= settings.alpha:
        return "which no number of rows makes pass"
    needed = rows_needed(candidate.risk, settings.alpha, settings.threshold, more_than=candidate.n)
    return (
        f"which could pass with {needed:,} rows"
        if needed
        else f"which would need more than {MOST_ROWS:,} rows"
    )
