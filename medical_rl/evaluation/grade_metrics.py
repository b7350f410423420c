"""Numbers of ordinal grades: how far the answers are off, and agreement beyond chance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from medical_rl.errors import UserError


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
        raise UserError(f"Row {row['id']!r} has the gold grade {row['gold']!r}; a grade is a whole number such as '3'.")
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

    expected, ratio = apart.mean(axis=0), 0.0  # expected[g]: mean squared distance of grade g from all gold grades
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
