"""What models and metrics are called in tables for people, and what is said beside every figure."""

from collections.abc import Iterable, Mapping, Sequence

from medical_rl.run.markdown import DASH

DISCLAIMER = "Not for clinical use."
PHANTOM_NOTE = "Phantoms: images drawn by code, not medical images."
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


def model_label(row: Mapping) -> str:
    """The name of a row's model for people, with its round.

    >>> model_label({"model": "rl", "round": 2})
    'RL (best by validation), round 2'
    """
    name = LABELS.get(row["model"], row["model"])
    return name if row.get("round") is None else f"{name}, round {row['round']}"


def short_name(row: Mapping) -> str:
    """A model's name where there is little room.

    >>> short_name({"model": "warm_start", "round": 2})
    'round 2 warm start'
    """
    name = row["model"].replace("_", " ") if row["model"].isidentifier() else row["model"]
    return name if row.get("round") is None else f"round {row['round']} {name}"


def metric_columns(rows: Sequence[Mapping]) -> list[str]:
    """The metrics of COLUMNS that at least one of the rows has."""
    return [key for key in COLUMNS if any(key in row["metrics"] for row in rows)]


def metric_cell(row: Mapping, key: str) -> str:
    """Metric `key` of a row to three decimals, accuracy with its interval; a dash where the row has none."""
    if key not in row["metrics"]:
        return DASH
    text = f"{row['metrics'][key]:.3f}"
    bounds = row.get("interval", {}).get(key)
    return f"{text} [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else text


def rows_by_dataset(evaluations: Iterable[dict]) -> dict[tuple[str, str], list[dict]]:
    """{(dataset, split): its rows}, all in the order given."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in evaluations:
        groups.setdefault((row["dataset"], row["split"]), []).append(row)
    return groups
