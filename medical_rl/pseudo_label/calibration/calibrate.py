"""How many reports an answer is given with: the best k that passes, or what is done where none does.

Where no k passes, conf.calibration.on_empty says what is done: stop, the best k without a guarantee, or no
retrieval. None of the three has a guarantee, and each says so.
"""

import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medical_rl.errors import UserError
from medical_rl.pseudo_label.calibration.learn_then_test import (
    MOST_ROWS,
    CalibrationSettings,
    Candidate,
    learn_then_test,
    rows_needed,
)
from medical_rl.pseudo_label.label import Label


@dataclass(frozen=True)
class Errors:
    """What was measured.

    by_k           {k: (0 or 1, ...)}, in the order of `ids`
    ids            the questions that a labeller answered, or abstained from, at every k
    failed         the questions left out at every k because a labeller failed at one
    abstained      {k: abstentions}, each counted as an error in `by_k`
    majority_rate  share of the most frequent gold answer of `ids`: what always giving it would score
    """

    by_k: dict[int, tuple[int, ...]]
    ids: tuple[str, ...]
    failed: tuple[str, ...]
    abstained: dict[int, int]
    majority_rate: float


def errors_by_k(gold: Mapping[str, str], labels: Mapping[int, Iterable[Label]]) -> Errors:
    """The errors of every k against `gold` ({question id: answer}), on the same questions for every k.

    An abstention (an answer that could not be read is one) is an error. A failure of the labeller (an
    endpoint that is down) is none: its question is left out, and at every k, so that all are measured on the
    same ones. Raises ValueError for labels of other questions than `gold`, UserError where every question
    failed.
    """
    answers: dict[int, dict[str, str | None]] = {}
    failed_ids: set[str] = set()
    reasons: Counter[str] = Counter()
    for k, of_k in labels.items():
        answers[k] = {}
        for label in of_k:
            answers[k][label.id] = None if label.answer is None else _plain(label.answer)
            if label.failed is not None:
                failed_ids.add(label.id)
                reasons[label.failed] += 1
        differing = set(answers[k]) ^ set(gold)
        if differing:
            raise ValueError(
                f"The labels for k={k} are not those of the questions: {sorted(differing)[:5]} are in one "
                "only."
            )
    truths = {name: _plain(answer) for name, answer in gold.items() if name not in failed_ids}
    if not truths:
        why = (
            f", mostly: {reasons.most_common(1)[0][0]}."
            if reasons
            else ": there are none (conf.calibration.share)."
        )
        raise UserError(f"The labeller failed on all {len(gold)} calibration questions{why}")
    by_k, abstained = {}, {}
    for k, given in answers.items():
        by_name = list(map(given.__getitem__, truths))
        by_k[k] = tuple(map(int, map(operator.ne, by_name, truths.values())))
        abstained[k] = by_name.count(None)
    majority = Counter(truths.values()).most_common(1)[0][1]
    failed = tuple(filter(failed_ids.__contains__, gold))
    return Errors(by_k, tuple(truths), failed, abstained, majority / len(truths))


def _plain(answer: str) -> str:
    return answer.strip().casefold()


@dataclass(frozen=True)
class Calibration:
    """The outcome.

    candidates     in the order listed, which is the order of a fixed sequence
    kept           every k that passed, ascending
    chosen         the kept k with the smallest FR, of equal ones the smallest k; without a kept one as
                   `on_empty` says (None for stop)
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


class NothingKept(UserError):
    """No k passed and conf.calibration.on_empty is stop; `outcome` holds the figures."""

    def __init__(self, message: str, outcome: Calibration | None = None):
        super().__init__(message, outcome)  # both, so that it can be pickled
        self.outcome = outcome

    def __str__(self) -> str:
        return self.args[0]


def calibrate(
    errors: Mapping[int, Sequence[int]],
    settings: CalibrationSettings,
    *,
    studies: int | None = None,
    majority_rate: float | None = None,
) -> Calibration:
    """The outcome for `errors`: for each candidate k its answers to the same n questions, in one order.

    errors   1 for a wrong answer, 0 for a right one. An abstention or an unparsed answer is wrong: it is a 1,
             and no gap. (`errors_by_k` makes them so of labels.)
    studies  how many different studies the questions are about. Fewer than n: they are not independent, and
             no guarantee is given.

    Raises ValueError for errors that are not 0 or 1, not of the same n >= 1 questions, or not of the
    settings' candidates. Raises NothingKept (a UserError) where no k passes and conf.calibration.on_empty is
    stop.

    >>> settings = CalibrationSettings((1, 2), alpha=0.2, delta=0.1, method="bonferroni", on_empty="stop")
    >>> outcome = calibrate({1: [0] * 170 + [1] * 30, 2: [0] * 180 + [1] * 20}, settings)
    >>> outcome.kept, outcome.chosen, outcome.guarantee
    ((2,), 2, True)
    """
    candidates = learn_then_test(errors, settings)
    kept = sorted(c.k for c in candidates if c.kept)
    if kept:
        best = _best(candidates, kept)
        guarantee = studies is None or studies >= best.n
        chosen, sentence = best.k, _sentence(kept, best, settings, studies if not guarantee else None)
    else:
        guarantee = False
        chosen, sentence = _fallback(candidates, settings)
    outcome = Calibration(
        candidates, settings.alpha, settings.delta, settings.method, settings.on_empty, tuple(kept),
        chosen, guarantee, sentence, studies, majority_rate,
    )  # fmt: skip
    if not kept and settings.on_empty == "stop":
        raise NothingKept(advice(candidates, settings), outcome)
    return outcome


def _best(candidates: Sequence[Candidate], ks: Sequence[int]) -> Candidate:
    """The one with the fewest errors, of equal ones the smallest k."""
    return min((c for c in candidates if c.k in ks), key=lambda c: (c.errors, c.k))


def _sentence(
    kept: Sequence[int], best: Candidate, settings: CalibrationSettings, studies: int | None
) -> str:
    """What can be said where k are kept; `studies` is how many the questions share, None where each has its own."""
    ks = ", ".join(map(str, kept))
    if studies is not None:
        return (
            f"No strict guarantee: k = {ks} passed the test, but the {best.n} questions are about "
            f"{studies} studies, and questions about one study are not independent. "
            "conf.calibration.per_study=1 asks one question a study."
        )
    return (
        f"With probability at least {1 - settings.delta:g} over the draw of the {best.n} calibration "
        "questions, the true factuality risk of this labeller with this retriever is at most "
        f"{settings.alpha:g} for every kept k ({ks}), and so for the chosen k = {best.k}. This takes the "
        "questions for independent draws from those that are labelled later."
    )


def _fallback(candidates: Sequence[Candidate], settings: CalibrationSettings) -> tuple[int | None, str]:
    """(the k taken although no candidate passed, the sentence that says so); k is None for stop."""
    best = _best(candidates, settings.candidates)
    chosen, why = {
        "stop": (None, "Nothing is chosen."),
        "no_retrieval": (0, "Answers are given without retrieval (k = 0)."),
        "best_k_without_guarantee": (
            best.k,
            f"k = {best.k} is used because its risk on the calibration questions is the smallest: "
            f"{best.risk:.3f} ({best.errors} of {best.n} wrong).",
        ),
    }[settings.on_empty]
    return chosen, (
        f"No guarantee: no candidate k is shown to have a factuality risk of at most {settings.alpha:g} with "
        f"confidence {1 - settings.delta:g}. {why}"
    )


def advice(candidates: Sequence[Candidate], settings: CalibrationSettings) -> str:
    """One paragraph: every k with its risk, p-value and rows needed, and what else could be done."""
    figures = []
    for one in candidates:
        untested = "" if one.tested else " (not tested)"
        figures.append(
            f"k={one.k}: FR {one.risk:.3f} ({one.errors} wrong), p {one.p:.3g}{untested}, "
            f"{_rows_clause(one, settings)}"
        )
    order = ""
    if settings.method == "fixed_sequence":
        order = (
            " A fixed sequence ends at the first k that fails, so list first what is expected to do best, "
            "before any figure is seen."
        )
    return (
        f"None of the candidates k (conf.calibration.candidates={list(settings.candidates)}) is shown to "
        f"have a factuality risk of at most alpha={settings.alpha:g} with confidence {1 - settings.delta:g} "
        f"on {candidates[0].n} calibration questions: {settings.method} needs p <= {settings.threshold:.3g}. "
        f"{'; '.join(figures)}.{order} Raise conf.calibration.alpha, calibrate on more rows "
        "(conf.calibration.share or rows), take a better retriever or labeller, or go on without a "
        "guarantee with conf.calibration.on_empty=best_k_without_guarantee or no_retrieval. What is changed "
        "because of these figures should be tested on other questions (conf.seed): tested on these again, "
        "the guarantee would not hold."
    )


def _rows_clause(candidate: Candidate, settings: CalibrationSettings) -> str:
    """The fewest rows with which this candidate could pass if its FR stayed what it is, as a clause."""
    if candidate.p <= settings.threshold:  # behind the end of a fixed sequence
        return "which passes by itself"
    if candidate.risk >= settings.alpha:
        return "which no number of rows makes pass"
    needed = rows_needed(candidate.risk, settings.alpha, settings.threshold, more_than=candidate.n)
    if needed is None:
        return f"which would need more than {MOST_ROWS:,} rows"
    return f"which could pass with {needed:,} rows"
