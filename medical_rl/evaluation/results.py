"""results.json, the contract that tools read, written with results.md, the same figures for people."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medical_rl.errors import UserError
from medical_rl.evaluation.groups import group_metrics, macro_accuracy
from medical_rl.evaluation.markdown import markdown
from medical_rl.evaluation.metrics import Record, correct_count, interval, metrics, per_class


def entry(
    model: str, dataset: str, split: str, records: Sequence[Record], round: int | None = None
) -> dict[str, Any]:
    """One element of "evaluations": `model` measured on `records`, with intervals and figures per group and class.

    groups          {"modality": {name: {"n", metrics, "interval"}}, "question_type": ...}, see `groups.group_metrics`
    macro_accuracy  {"modality": mean accuracy over its groups, ...}; metrics["accuracy"] is that of all rows (micro)
    """
    groups = group_metrics(records)
    return {
        "model": model,
        "round": round,
        "dataset": dataset,
        "split": split,
        "n": len(records),
        "metrics": metrics(records),
        "interval": {"accuracy": list(interval(correct_count(records), len(records)))},
        "groups": groups,
        "macro_accuracy": macro_accuracy(groups),
        "per_class": per_class(records),
    }


def write_results(
    run_dir: Path | str,
    recipe: str,
    scale: str,
    seed: int,
    entries: Sequence[dict],
    notes: Sequence[str] = (),
) -> Path:
    """The path of the results.json written; results.md lies beside it. Both replace what an earlier run left.

    Both texts are made before either is written, and each file is replaced whole: a failure leaves the old one.
    """
    results = {
        "recipe": recipe,
        "scale": scale,
        "seed": seed,
        "evaluations": list(entries),
        "notes": list(notes),
    }
    as_json = json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    as_markdown = markdown(results)
    path = Path(run_dir) / "results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, as_json)
    replace_text(path.with_suffix(".md"), as_markdown)
    return path


def read_results(run_dir: Path | str) -> dict[str, Any]:
    """The contents of `run_dir`/results.json; a `UserError` where it is absent or not what `write_results` writes."""
    path = Path(run_dir) / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"There is no {path}. It is written when the recipe's evaluation is done.") from None
    except ValueError as error:  # broken JSON or broken UTF-8
        raise UserError(
            f"{path} cannot be read as JSON ({error}). Rerun the recipe to write it again."
        ) from error
    if missing := [key for key in ("recipe", "scale", "seed", "evaluations") if key not in _keys(results)]:
        raise UserError(f"{path} lacks {', '.join(missing)}: it is not a results file. Rerun the recipe.")
    evaluations = results["evaluations"] if isinstance(results["evaluations"], list) else [None]
    if any(not {"model", "dataset", "split", "n", "metrics"} <= _keys(row) for row in evaluations):
        raise UserError(
            f"{path} has evaluations without model, dataset, split, n or metrics. Rerun the recipe."
        )
    return results


def _keys(value: Any) -> set[str]:
    """The keys of `value`, none if it is no dict."""
    return set(value) if isinstance(value, dict) else set()


def replace_text(path: Path, text: str) -> None:
    """None; `path` holds `text`, or on failure what it held before."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
