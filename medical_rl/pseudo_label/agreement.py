"""Labels against gold answers, where there are any: how good the pseudo-labels are, for each k."""

import collections
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medical_rl.evaluation.metrics import wilson_interval
from medical_rl.parsing.response import gold
from medical_rl.pseudo_label.label import ANSWERS, OUTCOMES, Label
from medical_rl.run.markdown import markdown_table
from medical_rl.sample import Sample

HEADER = (
    "Reports (k)", "n", "Answered", "Accuracy of answered (95 %)", "Accuracy, no answer counted wrong (95 %)",
    "Majority rate", "Cohen's kappa", "Yes in labels", "Yes in gold", "Abstained", "Unparsed", "Failed",
)  # fmt: skip
_COLUMNS = (
    "n", "answered", "accuracy_answered", "accuracy", "majority_rate", "kappa", "yes_rate", "gold_yes_rate",
    "abstained", "unparsed", "failed",
)  # fmt: skip


def gold_answers(samples: Iterable[Sample]) -> dict[str, str]:
    """{row id: "yes" or "no"} of the rows whose gold answer can be read; a row without one is left out."""
    answers = {}
    for sample in samples:
        answer = gold(sample)
        if answer in ANSWERS:
            answers[sample.id] = answer
    return answers


def agreement(labels: Sequence[Label], golds: Mapping[str, str]) -> dict[str, Any]:
    """How labels agree with gold answers, over the rows that have both; {"n": 0} where none has.

    n, answered, abstained, unparsed, failed   counts
    accuracy_answered, accuracy                share that is right of the answered ones; of all n, where no
                                               answer counts as wrong
    accuracy_answered_interval, accuracy_interval    95 % Wilson intervals, which take the rows as independent
    kappa           Cohen's kappa over the answered ones (scikit-learn); None where labels and gold know one
                    answer only
    majority_rate   what always giving the more frequent gold answer would score, of all n
    yes_rate        share of yes among the answers given
    gold_yes_rate   share of yes among all n gold answers

    What would need an answer is None where none was given.

    >>> labels = [Label("1", "yes"), Label("2", "no"), Label("3", None)]
    >>> figures = agreement(labels, {"1": "yes", "2": "yes", "3": "no"})
    >>> figures["accuracy_answered"], round(figures["accuracy"], 3), figures["abstained"]
    (0.5, 0.333, 1)
    """
    counts, all_golds, answers, answered_golds = collections.Counter(), [], [], []
    for label in labels:
        if label.id in golds:
            counts[label.outcome] += 1
            all_golds.append(golds[label.id])
            if label.outcome == "answered":
                answers.append(label.answer)
                answered_golds.append(golds[label.id])
    n, answered = len(all_golds), len(answers)
    if not n:
        return {"n": 0}
    right = sum(map(str.__eq__, answers, answered_golds))
    return {
        "n": n,
        **{outcome: counts[outcome] for outcome in OUTCOMES},
        "accuracy_answered": right / answered if answered else None,
        "accuracy_answered_interval": wilson_interval(right, answered) if answered else None,
        "accuracy": right / n,
        "accuracy_interval": wilson_interval(right, n),
        "kappa": _kappa(answers, answered_golds),
        "majority_rate": max(collections.Counter(all_golds).values()) / n,
        "yes_rate": answers.count("yes") / answered if answered else None,
        "gold_yes_rate": all_golds.count("yes") / n,
    }


def markdown(per_k: Mapping[int, Mapping[str, Any]]) -> str:
    """A Markdown table of `agreement` for each k."""
    return markdown_table(list(HEADER), list(itertools.starmap(_cells, sorted(per_k.items()))))


def _cells(k: int, figures: Mapping[str, Any]) -> list[str]:
    """A row under HEADER: counts as they are, shares with three digits and their interval, "-" for None."""
    if not figures["n"]:
        return [str(k), "0"] + ["-"] * (len(HEADER) - 2)
    row = [str(k)]
    for name in _COLUMNS:
        value, bounds = figures[name], figures.get(f"{name}_interval")
        cell = f"{value:.3f}" if isinstance(value, float) else "-" if value is None else str(value)
        row.append(f"{cell} ({bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else cell)
    return row


def _kappa(answers: Sequence[str], golds: Sequence[str]) -> float | None:
    from sklearn.metrics import cohen_kappa_score

    if len(set(answers).union(golds)) < 2:  # chance alone agrees wholly, and kappa is 0 / 0
        return None
    return float(cohen_kappa_score(answers, golds))
