"""What models and metrics are called in tables for people, and how a figure is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

DISCLAIMER = "Not for clinical use."
LABELS = {
    "base": "base (untrained or as downloaded)",
    "sft": "SFT (rival arm)",
    "warm_start": "warm start",
    "rl": "RL (best by validation)",
    "retrieve_then_answer": "retrieve, then answer",
    "localize_sft": "localised by SFT (rival arm)",
    "localize_rl": "localised by RL (best by validation)",
}
# Arms that stand beside the stages of a run: nothing later begins from them.
RIVALS = ("sft", "localize_sft", "retrieve_then_answer")
# Metric -> heading, in the order shown; a column no row has is left out.
COLUMNS = {
    "accuracy": "Accuracy [95 % CI]",
    "balanced_accuracy": "Balanced accuracy",
    "majority_rate": "Majority rate",
    "macro_f1": "Macro F1",
    "unparsed": "Unparsed",
    "mae": "MAE",
    "quadratic_kappa": "Quadratic kappa",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "auroc": "AUROC",
    "mean_iou": "Mean IoU",
    "hit_rate": "Hit rate",
}


def label(row: dict[str, Any]) -> str:
    """The name of a row's model for people, with its round.

    >>> label({"model": "rl", "round": 2})
    'RL (best by validation), round 2'
    """
    name = LABELS.get(row["model"], row["model"])
    return name if row.get("round") is None else f"{name}, round {row['round']}"


def figure(row: dict[str, Any], key: str) -> str:
    """Metric `key` of a row to three decimals, accuracy with its interval; a dash where the row has none."""
    if key not in row["metrics"]:
        return "–"
    bounds = row.get("interval", {}).get(key)
    return f"{row['metrics'][key]:.3f}" + (f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else "")


def by_dataset(evaluations: Sequence[dict]) -> dict[tuple[str, str], list[dict]]:
    """{(dataset, split): its rows}, all in the order given."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in evaluations:
        groups.setdefault((row["dataset"], row["split"]), []).append(row)
    return groups
