"""Numbers from prediction records (see the package's docstring); nothing here reads a file or runs a model.

No row is ever dropped. An unparsed answer (`pred` is None) is wrong in every number. An answer in words that name no
class is parsed, and wrong as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from medical_rl.boxes import first_iou
from medical_rl.errors import UserError, unknown
from medical_rl.evaluation.grade_metrics import grade_metrics, whole_number

KINDS = ("label", "choice", "yes_no", "grade", "box")
UNPARSED = "\0unparsed"  # a class no data set can hold; it is never averaged over

Record = dict[str, Any]


def metrics(records: Sequence[Record]) -> dict[str, float]:
    """Every number that applies to `records`, by the names of results.json.

    accuracy             share that is parsed and that the grader called correct
    balanced_accuracy    mean recall over the gold classes present
    majority_rate        share of the most common gold class: what always answering it would score
    macro_f1             mean F1 over the gold classes present
    unparsed             share without a readable answer
    precision, recall, f1      of "yes", where every row is yes_no
    always_yes, always_no      accuracy of one answer to everything, there
    mae, quadratic_kappa       where every row is a grade, see `grade_metrics`
    auroc                where options were scored and both right and wrong ones occur, see `auroc.auroc`
    hit_rate, mean_iou         where every row is a box, instead of the class figures

    All are fractions in [0, 1], except mae (in grades) and quadratic_kappa (in [-1, 1]). Raises `UserError` on no
    records, on boxes mixed with classes and on gold answers that do not suit their kind.

    >>> rows = [{"id": str(i), "kind": "label", "gold": g, "pred": "a", "correct": g == "a"} for i, g in enumerate("aaab")]
    >>> metrics(rows)["accuracy"], metrics(rows)["balanced_accuracy"]
    (0.75, 0.5)
    """
    from sklearn.metrics import f1_score, recall_score

    from medical_rl.evaluation.auroc import auroc

    kinds = _kinds(records)
    if kinds == {"box"}:
        return box_metrics(records)
    gold, pred = _columns(records)
    over = {"labels": classes(records), "average": "macro", "zero_division": 0}
    found = {
        "accuracy": correct_count(records) / len(records),
        # Not balanced_accuracy_score: the same mean, but that warns of every answer that is no gold class.
        "balanced_accuracy": float(recall_score(gold, pred, **over)),
        "majority_rate": Counter(gold).most_common(1)[0][1] / len(gold),
        "macro_f1": float(f1_score(gold, pred, **over)),
        "unparsed": pred.count(UNPARSED) / len(pred),
    }
    if kinds == {"yes_no"}:
        found |= yes_no_metrics(records)
    if kinds == {"grade"}:
        found |= grade_metrics(records)
    if (area := auroc(records)[0]) is not None:
        found["auroc"] = area
    return found


def box_metrics(records: Sequence[Record]) -> dict[str, float]:
    """{"accuracy", "hit_rate", "mean_iou", "unparsed"} of boxes: a hit has IoU > 0.5; an unparsed answer has IoU 0."""
    _columns(records)
    hits = correct_count(records) / len(records)
    overlaps = [first_iou(row["pred"], row["gold"]) for row in records]
    unparsed = sum(row["pred"] is None for row in records) / len(records)
    return {"accuracy": hits, "hit_rate": hits, "mean_iou": sum(overlaps) / len(overlaps), "unparsed": unparsed}


def per_class(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """{gold class: {"n", "recall", "precision", "f1"}}, 0 where a class was never predicted; {} for boxes; n counts gold rows."""
    from sklearn.metrics import precision_recall_fscore_support

    if {row["kind"] for row in records} == {"box"}:
        return {}
    gold, pred = _columns(records)
    labels = classes(records)
    columns = precision_recall_fscore_support(gold, pred, labels=labels, average=None, zero_division=0)
    return {
        label: {"n": int(n), "recall": float(recall), "precision": float(precision), "f1": float(f1)}
        for label, precision, recall, f1, n in zip(labels, *columns, strict=True)
    }


def interval(k: int, n: int) -> tuple[float, float]:
    """(low, high): the 95 % Wilson interval of `k` right out of `n` independent answers.

    Several questions about one patient are not independent; the true interval is then wider.

    >>> tuple(round(bound, 4) for bound in interval(8, 10))
    (0.4902, 0.9433)
    """
    from scipy.stats import binomtest

    if n < 1:
        raise UserError(f"An interval needs at least one answer; it was asked for {k} right out of {n}.")
    found = binomtest(k, n).proportion_ci(confidence_level=0.95, method="wilson")
    return float(found.low), float(found.high)


def yes_no_metrics(records: Sequence[Record]) -> dict[str, float]:
    """{"precision", "recall", "f1"} with "yes" as the positive, an unparsed "yes" a miss; {"always_yes", "always_no"}: shares of gold."""
    from sklearn.metrics import precision_recall_fscore_support

    gold, pred = _columns(records)
    if bad := [row["id"] for row in records if row["gold"] not in ("yes", "no")]:
        raise UserError(f"{len(bad)} yes_no gold answers are neither 'yes' nor 'no'; the first is row {bad[0]!r}.")
    found = precision_recall_fscore_support(gold, pred, labels=["yes"], average="macro", zero_division=0)
    yes = gold.count("yes") / len(gold)
    return dict(zip(("precision", "recall", "f1"), map(float, found), strict=False)) | {
        "always_yes": yes,
        "always_no": 1 - yes,
    }


def correct_count(records: Sequence[Record]) -> int:
    """The number of rows that are parsed and that the grader called correct."""
    return sum(bool(row["correct"]) and row["pred"] is not None for row in records)


def classes(records: Sequence[Record]) -> list[str]:
    """The gold classes present, whole numbers first and by value, the others by name."""
    return sorted(
        {row["gold"] for row in records}, key=lambda name: (whole_number(name) is None, whole_number(name) or 0, name)
    )


def _columns(records: Sequence[Record]) -> tuple[list[str], list[str]]:
    """(gold answers, predicted answers), unparsed ones as `UNPARSED`."""
    if not records:
        raise UserError("There are no predictions to measure: the split is empty or prediction wrote nothing.")
    return [row["gold"] for row in records], [UNPARSED if row["pred"] is None else row["pred"] for row in records]


def _kinds(records: Sequence[Record]) -> set[str]:
    """The kinds present; a `UserError` for one that has no class metrics."""
    kinds = {row["kind"] for row in records}
    for kind in kinds - set(KINDS):
        raise unknown("kind with metrics", kind, KINDS)
    if "box" in kinds and len(kinds) > 1:
        raise UserError("Boxes and classes have no metric in common: evaluate them as two datasets.")
    return kinds
