"""AUROC from the probabilities that a model gives a question's options; pure numbers, see `auroc`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from medical_rl.errors import UserError

Record = dict[str, Any]


def probabilities(options: Sequence[str], scores: Sequence[float]) -> dict[str, float]:
    """{option: probability}: the softmax of the options' log-probabilities; options of one text count together.

    >>> probabilities(("yes", "no"), (math.log(0.06), math.log(0.02)))
    {'yes': 0.75, 'no': 0.25}
    """
    top = max(scores)
    # log-probabilities of nought alone: the model tells the options apart no more than chance does
    weights = [math.exp(score - top) if math.isfinite(top) else 1.0 for score in scores]
    found: dict[str, float] = {}
    for option, weight in zip(options, weights, strict=True):
        found[option] = found.get(option, 0.0) + weight / sum(weights)
    return {option: round(value, 12) for option, value in found.items()}


def auroc(records: Sequence[Record]) -> tuple[float | None, str]:
    """(the AUROC in [0, 1], how it was made) of records with "option_scores" {option: probability}; (None, why) where undefined.

    yes/no questions   by the probability of "yes"
    one set of options each class against the rest by its probability, and the mean over the classes that occur
    options that vary  over all pairs of a row and one of its options, right or not: one ranking for the whole set

    Rows without scores (free answers) are left out, and counted in the sentence. Raises `UserError` where a gold answer
    is none of its row's options.
    """
    rows = [row for row in records if row.get("option_scores")]
    if not rows:
        return None, "no row has options that were scored"
    if astray := [row["id"] for row in rows if row["gold"] not in row["option_scores"]]:
        raise UserError(
            f"The gold answers of {len(astray)} rows are none of their options; the first is row {astray[0]!r}."
        )
    missing = len(records) - len(rows)
    without = f"; {missing:,} rows without options are left out" if missing else ""
    sets = {frozenset(row["option_scores"]) for row in rows}
    if {row["kind"] for row in rows} == {"yes_no"}:
        found, how = (
            _area([(row["gold"] == "yes", row["option_scores"]["yes"]) for row in rows]),
            "by the probability of yes",
        )
    elif len(sets) == 1:
        areas = [_against_rest(rows, name) for name in sorted({row["gold"] for row in rows})]
        found = None if None in areas else sum(areas) / len(areas)
        how = f"each class against the rest, mean over the {len(areas)} classes that occur"
    else:
        pairs = [(option == row["gold"], p) for row in rows for option, p in row["option_scores"].items()]
        found, how = _area(pairs), "over all pairs of a row and an option, as the options vary"
    if found is None:
        return None, f"it is undefined, as every gold answer is {rows[0]['gold']!r}{without}"
    return found, how + without


def _against_rest(rows: Sequence[Record], name: str) -> float | None:
    return _area([(row["gold"] == name, row["option_scores"][name]) for row in rows])


def _area(pairs: Sequence[tuple[bool, float]]) -> float | None:
    """The area under the curve of (is positive, score) pairs; None where one of the two kinds is absent."""
    from sklearn.metrics import roc_auc_score

    truth, scores = zip(*pairs, strict=True)
    return float(roc_auc_score(truth, scores)) if len(set(truth)) == 2 else None
