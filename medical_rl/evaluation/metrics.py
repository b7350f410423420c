"""Numbers from prediction records (see the package's docstring), of all and of each group of rows.

No row is ever dropped. An unparsed answer (`pred` is None) is wrong in every number. An answer in words that
name no class is parsed, and wrong as well.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from medical_rl.boxes import first_iou
from medical_rl.errors import UserError, unknown
from medical_rl.evaluation.auroc import auroc
from medical_rl.run.markdown import figure_cell

KINDS = ("label", "choice", "yes_no", "grade", "box")
# The keys of a sample's meta that divide an evaluation, with what a table calls them.
GROUPS = {"modality": "modality", "question_type": "question type"}
UNNAMED = "(not named)"
UNPARSED = "\0unparsed"  # a class no data set can hold; it is never averaged over

Record = dict[str, Any]
Value = TypeVar("Value")


def metrics(records: Sequence[Record]) -> dict[str, float]:
    """Every number that applies to `records`, by the names of results.json.

    accuracy             share that is parsed (strictly: the final mark, outside the thought) and correct
    accuracy_parsed      the same among the parsed rows; absent where none is
    lenient              share that is correct where every answer is read leniently; where records say it
    balanced_accuracy    mean recall over the gold classes present
    majority_rate        share of the most common gold class: what always answering it would score
    macro_f1             mean F1 over the gold classes present
    unparsed             share without a strictly readable answer
    precision, recall, f1      of "yes", where every row is yes_no
    always_yes, always_no      accuracy of one answer to everything, there
    mae, quadratic_kappa       where every row is a grade, see `grade_metrics`
    auroc                where options were scored and both right and wrong ones occur, see `auroc.auroc`
    hit_rate, mean_iou         where every row is a box, instead of the class figures

    All are fractions in [0, 1], except mae (in grades) and quadratic_kappa (in [-1, 1]). Raises `UserError`
    on no records, on boxes mixed with classes and on gold answers that do not suit their kind.

    >>> golds = enumerate("aaab")
    >>> rows = [{"id": i, "kind": "label", "gold": g, "pred": "a", "correct": g == "a"} for i, g in golds]
    >>> metrics(rows)["accuracy"], metrics(rows)["balanced_accuracy"]
    (0.75, 0.5)
    """
    kinds = _kinds(records)
    if kinds == {"box"}:
        return box_metrics(records)
    gold, pred = _gold_and_pred(records)
    # Not balanced_accuracy_score: the same mean, but that warns of every answer that is no gold class.
    _, recall, f1, _ = _class_scores(gold, pred, gold_classes(records), "macro")
    figures = accuracies(records) | {
        "balanced_accuracy": float(recall),
        "majority_rate": Counter(gold).most_common(1)[0][1] / len(gold),
        "macro_f1": float(f1),
    }
    if kinds == {"yes_no"}:
        figures |= yes_no_metrics(records)
    if kinds == {"grade"}:
        figures |= grade_metrics(records)
    area, _ = auroc(records)
    if area is not None:
        figures["auroc"] = area
    return figures


def box_metrics(records: Sequence[Record]) -> dict[str, float]:
    """`accuracies`, "hit_rate" and "mean_iou" of boxes; a hit has IoU > 0.5, no answer IoU 0."""
    figures = accuracies(records)
    mean_iou = sum(first_iou(row["pred"], row["gold"]) for row in records) / len(records)
    return figures | {"hit_rate": figures["accuracy"], "mean_iou": mean_iou}


def accuracies(records: Sequence[Record]) -> dict[str, float]:
    """{"accuracy", "accuracy_parsed", "lenient", "unparsed"}: how much was right, by how it was read.

    A model that learns the form of an answer gains in accuracy, and in neither of the next two.

    >>> golds = {"id": "1", "kind": "label", "gold": "a"}
    >>> right = golds | {"pred": "a", "correct": True, "lenient_correct": True}
    >>> accuracies([right, right | {"pred": None, "correct": False}])
    {'accuracy': 0.5, 'accuracy_parsed': 1.0, 'lenient': 1.0, 'unparsed': 0.5}
    """
    _, pred = _gold_and_pred(records)
    unparsed, correct = pred.count(UNPARSED), correct_count(records)
    figures = {"accuracy": correct / len(records)}
    if unparsed < len(records):
        figures["accuracy_parsed"] = correct / (len(records) - unparsed)
    if all("lenient_correct" in row for row in records):
        figures["lenient"] = sum(bool(row["lenient_correct"]) for row in records) / len(records)
    return figures | {"unparsed": unparsed / len(records)}


def per_class(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """{gold class: {"n", "recall", "precision", "f1"}}, 0 where a class was never predicted; {} for boxes.

    n counts the rows with that gold answer.
    """
    if _kinds(records) == {"box"}:
        return {}
    gold, pred = _gold_and_pred(records)
    labels = gold_classes(records)
    precision, recall, f1, n = _class_scores(gold, pred, labels)
    figures = {}
    for i, label in enumerate(labels):
        shares = {"recall": float(recall[i]), "precision": float(precision[i]), "f1": float(f1[i])}
        figures[label] = {"n": int(n[i])} | shares
    return figures


def wilson_interval(k: int, n: int) -> tuple[float, float]:
    """(low, high): the 95 % Wilson interval of `k` right out of `n` independent answers.

    Several questions about one patient are not independent; the true interval is then wider.
    """
    from scipy.stats import binomtest

    if n < 1:
        raise UserError(f"An interval needs at least one answer; it was asked for {k} right out of {n}.")
    bounds = binomtest(k, n).proportion_ci(confidence_level=0.95, method="wilson")
    return float(bounds.low), float(bounds.high)


def accuracy_interval(records: Sequence[Record]) -> dict[str, list[float]]:
    """{"accuracy": [low, high]}: the Wilson interval of the records' accuracy."""
    return {"accuracy": list(wilson_interval(correct_count(records), len(records)))}


def correct_count(records: Iterable[Record]) -> int:
    """The number of rows that are parsed and that the grader called correct."""
    return sum(map(is_correct, records))


def is_correct(row: Record) -> bool:
    """True if the answer was read and the grader called it correct."""
    return bool(row["correct"]) and row["pred"] is not None


def gold_classes(records: Iterable[Record]) -> list[str]:
    """The gold classes present, whole numbers first and by value, the others by name."""
    numbers, names = [], []
    for name in sorted(set(map(itemgetter("gold"), records))):
        (names if whole_number(name) is None else numbers).append(name)
    return sorted(numbers, key=whole_number) + names


def _gold_and_pred(records: Sequence[Record]) -> tuple[list[str], list[str]]:
    """(gold answers, predicted answers), unparsed ones as `UNPARSED`."""
    if not records:
        raise UserError(
            "There are no predictions to measure: the split is empty or prediction wrote nothing."
        )
    gold, pred = [], []
    for row in records:
        gold.append(row["gold"])
        pred.append(UNPARSED if row["pred"] is None else row["pred"])
    return gold, pred


def _class_scores(gold: list[str], pred: list[str], labels: list[str], average: str | None = None):
    """(precision, recall, F1, n) of each of `labels`, or their mean; 0 where a class was never predicted."""
    from sklearn.metrics import precision_recall_fscore_support

    return precision_recall_fscore_support(gold, pred, labels=labels, average=average, zero_division=0)


def _kinds(records: Iterable[Record]) -> set[str]:
    """The kinds present; a `UserError` for one that has no class metrics."""
    kinds = set(map(itemgetter("kind"), records))
    for kind in kinds - set(KINDS):
        raise unknown("kind with metrics", kind, KINDS)
    if "box" in kinds and len(kinds) > 1:
        raise UserError("Boxes and classes have no metric in common: evaluate them as two datasets.")
    return kinds


def yes_no_metrics(records: Sequence[Record]) -> dict[str, float]:
    """{"precision", "recall", "f1"} of "yes", {"always_yes", "always_no"}: shares of gold; unparsed is a miss."""
    gold, pred = _gold_and_pred(records)
    bad = [row["id"] for row in records if row["gold"] not in ("yes", "no")]
    if bad:
        first = f"the first is row {bad[0]!r}"
        raise UserError(f"{len(bad)} yes_no gold answers are neither 'yes' nor 'no'; {first}.")
    precision, recall, f1, _ = _class_scores(gold, pred, ["yes"], "macro")
    yes = gold.count("yes") / len(gold)
    figures = {"precision": float(precision), "recall": float(recall), "f1": float(f1)}
    return figures | {"always_yes": yes, "always_no": 1 - yes}


def yes_no_notes(evaluations: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for each data set of yes/no questions: what one answer to everything would score.

    The F1 of always answering yes is 2p / (1 + p), p the share of yes; that of always answering no is 0.

    >>> row = {"dataset": "phantoms", "split": "test", "metrics": {"always_yes": 0.86, "always_no": 0.14}}
    >>> print(yes_no_notes([row, row])[0])
    phantoms, test: always answering yes would score accuracy 0.860, F1 0.925; always no accuracy 0.140, F1 0.
    """
    notes = {}
    for row in evaluations:
        yes, no = row["metrics"].get("always_yes"), row["metrics"].get("always_no")
        if yes is not None:
            notes[row["dataset"], row["split"]] = (
                f"{row['dataset']}, {row['split']}: always answering yes would score accuracy {yes:.3f}, "
                f"F1 {2 * yes / (1 + yes):.3f}; always no accuracy {no:.3f}, F1 0."
            )
    return list(notes.values())


def grade_metrics(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """{"mae" in grades, "quadratic_kappa" in [-1, 1]} of ordinal grades.

    The scale runs over the choices that are whole numbers and the gold grades. An answer that is no grade of
    that scale, unparsed ones included, costs mae the worst distance its row allows (at least 1). In kappa
    these rows together take the grades that make kappa lowest, so that not answering never beats an answer.
    (The farthest grade would not do: gold 5 5 5 3 answered 5 5 5 and nothing has kappa 0.625 if nothing is
    read as 0, and 0 had the model said 5.) Kappa is 0 where all gold grades are equal: there is no agreement
    beyond chance to measure.
    """
    import numpy as np
    from sklearn.metrics import cohen_kappa_score

    gold, pred, offered = [], [], set()
    for row in records:
        gold.append(whole_number(row["gold"]))
        pred.append(whole_number(row["pred"]))
        offered.update(map(whole_number, row.get("choices") or ()))
    if None in gold:
        row = records[gold.index(None)]
        raise UserError(
            f"Row {row['id']!r} has the gold grade {row['gold']!r}; a grade is a whole number such as '3'."
        )
    grades = (offered | set(gold)) - {None}
    scale = np.arange(min(grades), max(grades) + 1)
    answered = np.array(pred, dtype=float)  # no grade is nan
    known = np.isin(answered, scale)
    column = np.where(known, answered - scale[0], 0).astype(int)

    apart = np.abs(np.array(gold)[:, None] - scale)  # (rows, grades)
    distance = np.where(known, apart[np.arange(len(gold)), column], apart.max(axis=1).clip(min=1))
    kappa = 0.0
    if len(set(gold)) > 1:
        answers = scale[_lowest_kappa(apart**2, column, known)]
        kappa = cohen_kappa_score(gold, answers, labels=scale, weights="quadratic")
    return {"mae": float(distance.mean()), "quadratic_kappa": float(kappa)}


def _lowest_kappa(apart, column, known):
    """`column` with the rows that are not `known` set so that kappa is lowest.

    `apart` is (rows, grades), squared distances. Kappa is 1 - observed / expected, and both are sums over
    rows, so the largest ratio is found exactly by Dinkelbach's method: maximise observed - ratio * expected
    row by row, take the new ratio, repeat until it no longer grows.
    """
    import numpy as np

    expected = apart.mean(axis=0)  # expected[g]: mean squared distance of grade g from all gold grades
    ratio = 0.0
    while True:
        column = np.where(known, column, (apart - ratio * expected).argmax(axis=1))
        larger = apart[np.arange(len(column)), column].sum() / expected[column].sum()
        if larger <= ratio + 1e-12:
            return column
        ratio = larger


def whole_number(text: str | None) -> int | None:
    """The whole number of at most three digits that `text` is; None for any other ("grade 3", None)."""
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,3}", text) else None


def sample_groups(meta: Mapping[str, Any]) -> dict[str, str]:
    """{"modality", "question_type"}: those that a sample's meta names."""
    return {by: str(meta[by]) for by in GROUPS if meta.get(by) not in (None, "")}


def in_group_order(groups: Mapping[str, Value]) -> dict[str, Value]:
    """The groups by name, `UNNAMED` last."""
    return dict(sorted(groups.items(), key=lambda group: (group[0] == UNNAMED, group[0])))


def records_by_group(records: Iterable[Record], by: str) -> dict[str, list[Record]]:
    """{group: its records}, by name; rows without one are `UNNAMED`, last; {} where no row has one."""
    groups: dict[str, list[Record]] = {}
    for row in records:
        name = (row.get("groups") or {}).get(by, UNNAMED)
        groups.setdefault(name, []).append(row)
    return in_group_order(groups) if set(groups) - {UNNAMED} else {}


def group_metrics(records: Sequence[Record]) -> dict[str, dict[str, dict]]:
    """{"modality": {name: {"n", metrics, "interval"}}, "question_type": ...}: each group's metrics.

    Only what the rows have is there. A group of grades has the figures of grades, though all rows together
    may not.
    """
    measured: dict[str, dict[str, dict]] = {}
    for by in GROUPS:
        for name, rows in records_by_group(records, by).items():
            figures = {"n": len(rows)} | metrics(rows) | {"interval": accuracy_interval(rows)}
            measured.setdefault(by, {})[name] = figures
    return measured


def macro_accuracy(groups: Mapping[str, Mapping[str, Mapping]]) -> dict[str, float]:
    """{"modality": mean accuracy over its groups, ...}, each group counting alike.

    Rows without a name are no group. The accuracy of all rows together (micro) is `metrics["accuracy"]`:
    large groups weigh more there.
    """
    means = {}
    for by, figures in groups.items():
        accuracies = [group["accuracy"] for name, group in figures.items() if name != UNNAMED]
        means[by] = sum(accuracies) / len(accuracies)
    return means


def group_figures(row: Mapping, by: str) -> Mapping[str, Mapping]:
    """{group: its figures} of an evaluation; {} where its rows name no group."""
    return row.get("groups", {}).get(by, {})


def group_sizes(rows: Iterable[Mapping], by: str) -> dict[str, int]:
    """{group: rows of it} over the evaluations `rows` of one data set, `UNNAMED` last."""
    sizes = {}
    for row in rows:
        sizes |= {name: figures["n"] for name, figures in group_figures(row, by).items()}
    return in_group_order(sizes)


def group_cells(row: Mapping, by: str, columns: Iterable[str]) -> list[str]:
    """The accuracies of an evaluation: all rows (micro), mean of groups (macro), then each of `columns`.

    A dash where there is none.
    """
    accuracies = [row["metrics"].get("accuracy"), row.get("macro_accuracy", {}).get(by)]
    for name in columns:
        accuracies.append(group_figures(row, by).get(name, {}).get("accuracy"))
    return list(map(figure_cell, accuracies))
