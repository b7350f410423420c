"""Numbers from prediction records (see the package's docstring); nothing here reads a file or runs a model.

No row is ever dropped. An unparsed answer (`pred` is None) is wrong in every number. An answer in words that name no
class is parsed, and wrong as well.

Numbers of ordinal grades: how far the answers are off, and agreement beyond chance.

What one answer to everything would score on yes/no questions: what a model's figures have to beat.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from medical_rl.boxes import first_iou
from medical_rl.errors import UserError, unknown

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
    return {
        "accuracy": hits,
        "hit_rate": hits,
        "mean_iou": sum(overlaps) / len(overlaps),
        "unparsed": unparsed,
    }


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
        raise UserError(
            f"{len(bad)} yes_no gold answers are neither 'yes' nor 'no'; the first is row {bad[0]!r}."
        )
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
        {row["gold"] for row in records},
        key=lambda name: (whole_number(name) is None, whole_number(name) or 0, name),
    )


def _columns(records: Sequence[Record]) -> tuple[list[str], list[str]]:
    """(gold answers, predicted answers), unparsed ones as `UNPARSED`."""
    if not records:
        raise UserError(
            "There are no predictions to measure: the split is empty or prediction wrote nothing."
        )
    return [row["gold"] for row in records], [
        UNPARSED if row["pred"] is None else row["pred"] for row in records
    ]


def _kinds(records: Sequence[Record]) -> set[str]:
    """The kinds present; a `UserError` for one that has no class metrics."""
    kinds = {row["kind"] for row in records}
    for kind in kinds - set(KINDS):
        raise unknown("kind with metrics", kind, KINDS)
    if "box" in kinds and len(kinds) > 1:
        raise UserError("Boxes and classes have no metric in common: evaluate them as two datasets.")
    return kinds


def grade_metrics(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """{"mae" in grades, "quadratic_kappa" in [-1, 1]}.

    The scale runs over the choices that are whole numbers and the gold grades. An answer that is no grade of that scale,
    unparsed ones included, costs mae the worst distance its row allows (at least 1). In kappa these rows together take
    the grades that make kappa lowest, so that not answering never beats an answer. (The farthest grade would not do:
    gold 5 5 5 3 answered 5 5 5 and nothing has kappa 0.625 if nothing is read as 0, and 0 had the model said 5.)
    Kappa is 0 where all gold grades are equal: there is no agreement beyond chance to measure.
    """
    import numpy as np
    from sklearn.metrics import cohen_kappa_score

    gold = [whole_number(row["gold"]) for row in records]
    if None in gold:
        row = records[gold.index(None)]
        raise UserError(
            f"Row {row['id']!r} has the gold grade {row['gold']!r}; a grade is a whole number such as '3'."
        )
    offered = {whole_number(choice) for row in records for choice in row.get("choices") or ()} - {None}
    scale = np.arange(min({*gold, *offered}), max({*gold, *offered}) + 1)
    said = [whole_number(row["pred"]) for row in records]
    known = np.array([grade is not None and scale[0] <= grade <= scale[-1] for grade in said])
    column = np.array([grade - scale[0] if ok else 0 for grade, ok in zip(said, known, strict=True)])

    apart = np.abs(np.array(gold)[:, None] - scale)  # (rows, grades)
    distance = np.where(known, apart[np.arange(len(gold)), column], apart.max(axis=1).clip(min=1))
    kappa = 0.0
    if len(set(gold)) > 1:
        answers = scale[_lowest_kappa(apart**2, column, known)]
        kappa = cohen_kappa_score(gold, answers, labels=scale, weights="quadratic")
    return {"mae": float(distance.mean()), "quadratic_kappa": float(kappa)}


def _lowest_kappa(apart, column, known):
    """`column` with the rows that are not `known` set so that kappa is lowest; `apart` is (rows, grades), squared.

    Kappa is 1 - observed / expected, and both are sums over rows, so the largest ratio is found exactly by Dinkelbach's
    method: maximise observed - ratio * expected row by row, take the new ratio, repeat until it no longer grows.
    """
    import numpy as np

    expected, ratio = (
        apart.mean(axis=0),
        0.0,
    )  # expected[g]: mean squared distance of grade g from all gold grades
    while True:
        column = np.where(known, column, (apart - ratio * expected).argmax(axis=1))
        larger = apart[np.arange(len(column)), column].sum() / expected[column].sum()
        if larger <= ratio + 1e-12:
            return column
        ratio = larger


def whole_number(text: str | None) -> int | None:
    """The whole number of at most three digits that `text` is, or None.

    >>> whole_number("3"), whole_number("grade 3"), whole_number(None)
    (3, None, None)
    """
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,3}", text) else None


def notes(evaluations: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence for each data set of yes/no questions; [] where there is none.

    The F1 of always answering yes is 2p / (1 + p), p the share of yes; that of always answering no is 0.

    >>> row = {"dataset": "phantoms", "split": "test", "metrics": {"always_yes": 0.86, "always_no": 0.14}}
    >>> notes([row, row])
    ['phantoms, test: always answering yes would score accuracy 0.860, F1 0.925; always no accuracy 0.140, F1 0.']
    """
    found = {}
    for row in evaluations:
        share = row["metrics"].get("always_yes")
        if share is not None:
            found[row["dataset"], row["split"]] = (
                f"{row['dataset']}, {row['split']}: always answering yes would score accuracy {share:.3f}, "
                f"F1 {2 * share / (1 + share):.3f}; always no accuracy {row['metrics']['always_no']:.3f}, F1 0."
            )
    return list(found.values())
