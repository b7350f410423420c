"""Labels against gold answers, where there are any: how good the pseudo-labels are, for each k."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medical_rl.evaluation.markdown import table
from medical_rl.evaluation.metrics import interval
from medical_rl.parsing.response import gold
from medical_rl.pseudo_label.label import OUTCOMES, Label
from medical_rl.sample import Sample

HEADER = (
    "Reports (k)", "n", "Answered", "Accuracy of answered (95 %)", "Accuracy, no answer counted wrong (95 %)", "Majority rate",
    "Cohen's kappa", "Yes in labels", "Yes in gold", "Abstained", "Unparsed", "Failed",
)  # fmt: skip


def gold_answers(samples: Iterable[Sample]) -> dict[str, str]:
    """{row id: "yes" or "no"} of the rows whose gold answer can be read; a row without one is left out."""
    return {sample.id: answer for sample in samples if (answer := gold(sample)) in ("yes", "no")}


def agreement(labels: Sequence[Label], golds: Mapping[str, str]) -> dict[str, Any]:
    """How labels agree with gold answers, over the rows that have both; {"n": 0} where none has.

    n, answered, abstained, unparsed, failed   counts
    accuracy_answered, accuracy                share that is right of the answered ones; of all n, where no answer counts as wrong
    accuracy_answered_interval, accuracy_interval    95 % Wilson intervals, which take the rows as independent
    kappa           Cohen's kappa over the answered ones (scikit-learn); None where labels and gold know one answer only
    majority_rate   what always giving the more frequent gold answer would score, of all n
    yes_rate        share of yes among the answers given
    gold_yes_rate   share of yes among all n gold answers

    What would need an answer is None where none was given.

    >>> found = agreement([Label("1", "yes"), Label("2", "no"), Label("3", None)], {"1": "yes", "2": "yes", "3": "no"})
    >>> found["accuracy_answered"], round(found["accuracy"], 3), found["abstained"]
    (0.5, 0.333, 1)
    """
    known = [(one, golds[one.id]) for one in labels if one.id in golds]
    if not known:
        return {"n": 0}
    counts = collections.Counter(one.outcome for one, _ in known)
    given = [(one.answer, truth) for one, truth in known if one.outcome == "answered"]
    right, n = sum(answer == truth for answer, truth in given), len(known)
    truths = collections.Counter(truth for _, truth in known)
    return {
        "n": n,
        **{outcome: counts[outcome] for outcome in OUTCOMES},
        "accuracy_answered": right / len(given) if given else None,
        "accuracy_answered_interval": interval(right, len(given)) if given else None,
        "accuracy": right / n,
        "accuracy_interval": interval(right, n),
        "kappa": _kappa(given),
        "majority_rate": max(truths.values()) / n,
        "yes_rate": sum(answer == "yes" for answer, _ in given) / len(given) if given else None,
        "gold_yes_rate": truths["yes"] / n,
    }


def cells(k: int, found: Mapping[str, Any]) -> list[str]:
    """The cells of a table's row under HEADER."""
    if not found["n"]:
        return [str(k), "0", *["-"] * (len(HEADER) - 2)]
    answered = _with_interval(found["accuracy_answered"], found["accuracy_answered_interval"])
    rates = [_figure(found[name]) for name in ("majority_rate", "kappa", "yes_rate", "gold_yes_rate")]
    without = [str(found[name]) for name in ("abstained", "unparsed", "failed")]
    every = _with_interval(found["accuracy"], found["accuracy_interval"])
    return [str(k), str(found["n"]), str(found["answered"]), answered, every, *rates, *without]


def markdown(per_k: Mapping[int, Mapping[str, Any]]) -> str:
    """A Markdown table of `agreement` for each k."""
    return table(list(HEADER), [cells(k, found) for k, found in sorted(per_k.items())])


def _kappa(given: Sequence[tuple[str, str]]) -> float | None:
    from sklearn.metrics import cohen_kappa_score

    answers, truths = [answer for answer, _ in given], [truth for _, truth in given]
    if len(set(answers) | set(truths)) < 2:  # chance alone agrees wholly, and kappa is 0 / 0
        return None
    return float(cohen_kappa_score(answers, truths))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _with_interval(value: float | None, bounds: Sequence[float] | None) -> str:
    return "-" if value is None or bounds is None else f"{value:.3f} ({bounds[0]:.3f} to {bounds[1]:.3f})"
