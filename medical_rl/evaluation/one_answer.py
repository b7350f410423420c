"""What one answer to everything would score on yes/no questions: what a model's figures have to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


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
