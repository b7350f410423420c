"""results.json, the contract that tools read, and results.md, the same figures for people."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medical_rl.errors import UserError
from medical_rl.evaluation.metrics import Record, correct_count, interval, metrics, per_class

DISCLAIMER = "Not for clinical use."
LABELS = {
    "base": "base (untrained or as downloaded)",
    "sft": "SFT (rival arm)",
    "warm_start": "warm start",
    "rl": "RL (best by validation)",
    "localize_sft": "localisation warm start",
    "localize_rl": "localisation RL (best by validation)",
}
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
CLASSES_SHOWN = 20  # an open question set can have thousands of gold answers


def entry(model: str, dataset: str, split: str, records: Sequence[Record], round: int | None = None) -> dict[str, Any]:
    """One element of "evaluations": `model` measured on `records`, with intervals and figures per class."""
    return {
        "model": model,
        "round": round,
        "dataset": dataset,
        "split": split,
        "n": len(records),
        "metrics": metrics(records),
        "interval": {"accuracy": list(interval(correct_count(records), len(records)))},
        "per_class": per_class(records),
    }


def write_results(
    run_dir: Path | str, recipe: str, scale: str, seed: int, entries: Sequence[dict], notes: Sequence[str] = ()
) -> Path:
    """The path of the results.json written; results.md lies beside it. Both replace what an earlier run left.

    Both texts are made before either is written, and each file is replaced whole: a failure leaves the old one.
    """
    results = {"recipe": recipe, "scale": scale, "seed": seed, "evaluations": list(entries), "notes": list(notes)}
    as_json = json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    as_markdown = markdown(results)
    path = Path(run_dir) / "results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, as_json)
    _replace(path.with_suffix(".md"), as_markdown)
    return path


def read_results(run_dir: Path | str) -> dict[str, Any]:
    """The contents of `run_dir`/results.json; a `UserError` where it is absent or not what `write_results` writes."""
    path = Path(run_dir) / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"There is no {path}. It is written when the recipe's evaluation is done.") from None
    except ValueError as error:  # broken JSON or broken UTF-8
        raise UserError(f"{path} cannot be read as JSON ({error}). Rerun the recipe to write it again.") from error
    if missing := [key for key in ("recipe", "scale", "seed", "evaluations") if key not in _keys(results)]:
        raise UserError(f"{path} lacks {', '.join(missing)}: it is not a results file. Rerun the recipe.")
    evaluations = results["evaluations"] if isinstance(results["evaluations"], list) else [None]
    if any(not {"model", "dataset", "split", "n", "metrics"} <= _keys(row) for row in evaluations):
        raise UserError(f"{path} has evaluations without model, dataset, split, n or metrics. Rerun the recipe.")
    return results


def markdown(results: dict[str, Any]) -> str:
    """`results` as the text of results.md: notes, a table of models and a table of classes for each data set."""
    parts = [f"# Results: {results['recipe']} ({results['scale']} scale, seed {results['seed']})"]
    parts += results.get("notes", [])
    for (dataset, split), rows in by_dataset(results["evaluations"]).items():
        shown = [key for key in COLUMNS if any(key in row["metrics"] for row in rows)]
        header = ["Model", "n", *(COLUMNS[key] for key in shown)]
        body = [[label(row), str(row["n"]), *(figure(row, key) for key in shown)] for row in rows]
        parts += [f"## {dataset}, {split}", _table(header, body)]
        if per_class_rows := [cells for row in rows for cells in _class_rows(row)]:
            parts += ["Per class:", _table(["Model", "Class", "n", "Recall", "Precision", "F1"], per_class_rows)]
    parts += ["Figures are fractions (MAE: grades). The intervals are Wilson's and take the answers as independent."]
    return "\n\n".join([*parts, DISCLAIMER]) + "\n"


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


def _class_rows(row: dict[str, Any]) -> list[list[str]]:
    """The cells of a row's classes; of many classes only the most frequent, and a line that says so."""
    found = row.get("per_class", {})
    largest = set(sorted(found, key=lambda name: -found[name]["n"])[:CLASSES_SHOWN])
    cells = [
        [label(row), name, str(of["n"]), *(f"{of[key]:.3f}" for key in ("recall", "precision", "f1"))]
        for name, of in found.items()
        if name in largest
    ]
    rest = len(found) - len(largest)
    return [*cells, [label(row), f"{rest} rarer classes: see results.json", "", "", "", ""]] if rest else cells


def _table(header: list[str], body: list[list[str]]) -> str:
    """A Markdown table; bars and line breaks in a cell (class names come from data) are made harmless."""
    rows = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(" ".join(c.replace("|", "\\|").split()) for c in row) + " |" for row in rows)


def _keys(value: Any) -> set[str]:
    """The keys of `value`, none if it is no dict."""
    return set(value) if isinstance(value, dict) else set()


def _replace(path: Path, text: str) -> None:
    """None; `path` holds `text`, or on failure what it held before."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
