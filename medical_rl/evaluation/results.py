"""What an evaluation leaves in a run folder: predictions/, results.json and results.md.

predictions/*.jsonl holds the scored answers, a file a model. results.json is the contract that tools read;
results.md has the same figures for people.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medical_rl.errors import UserError
from medical_rl.evaluation.groups import group_metrics, macro_accuracy
from medical_rl.evaluation.metrics import Record, accuracy_interval, metrics, per_class
from medical_rl.evaluation.tables.results_table import results_markdown
from medical_rl.evaluation.wording import LABELS
from medical_rl.run.files import write_text

_STAGE = re.compile(r"(?:round_(\d+)[/.])?(\w+)")


def entry(
    model: str, dataset: str, split: str, records: Sequence[Record], round: int | None = None
) -> dict[str, Any]:
    """One element of "evaluations": `model` measured on `records`, also per group and class.

    groups          {"modality": {name: {"n", metrics, "interval"}}, ...}, see `group_metrics`
    macro_accuracy  {"modality": mean accuracy over its groups, ...}; metrics["accuracy"] is micro
    """
    groups = group_metrics(records)
    return {
        "model": model,
        "round": round,
        "dataset": dataset,
        "split": split,
        "n": len(records),
        "metrics": metrics(records),
        "interval": accuracy_interval(records),
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
    """Write results.json, whose path is returned, and results.md beside it.

    Both texts are made before either is written, and each file is replaced whole: a failure leaves the old
    one.
    """
    results = {"recipe": recipe, "scale": scale, "seed": seed}
    results |= {"evaluations": list(entries), "notes": list(notes)}
    as_json = json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    as_markdown = results_markdown(results)
    path = Path(run_dir) / "results.json"
    write_text(path, as_json)
    write_text(path.with_suffix(".md"), as_markdown)
    return path


def read_results(run_dir: Path | str) -> dict[str, Any]:
    """The contents of `run_dir`/results.json.

    Raises UserError where it is absent or not what `write_results` writes.
    """
    path = Path(run_dir) / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"There is no {path}. It is written when the recipe's evaluation is done.") from None
    except ValueError as error:  # broken JSON or broken UTF-8
        advice = "Rerun the recipe to write it again."
        raise UserError(f"{path} cannot be read as JSON ({error}). {advice}") from error
    missing = _missing_keys(results, ("recipe", "scale", "seed", "evaluations"))
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}: it is not a results file. Rerun the recipe.")
    evaluations = results["evaluations"] if isinstance(results["evaluations"], list) else [None]
    for row in evaluations:
        if _missing_keys(row, ("model", "dataset", "split", "n", "metrics")):
            lacking = "model, dataset, split, n or metrics"
            raise UserError(f"{path} has evaluations without {lacking}. Rerun the recipe.")
    return results


def _missing_keys(value: Any, keys: Sequence[str]) -> list[str]:
    """Those of `keys` that `value` lacks; all of them if it is no dict."""
    return [key for key in keys if not isinstance(value, dict) or key not in value]


def file_stem(name: str, round: int | None = None) -> str:
    """What a model's files begin with; for a model that is no stage of the run a name of its own.

    >>> file_stem("rl"), file_stem("rl", 2), file_stem("Qwen/Qwen2-VL-7B-Instruct")
    ('rl', 'round_2.rl', 'model.Qwen--Qwen2-VL-7B-Instruct.c83bd5')
    """
    if name in LABELS:
        return name if round is None else f"round_{round}.{name}"
    plain = re.sub(r"[^\w.-]+", "--", name).strip("-.")[-80:]
    return f"model.{plain}.{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def stem_of_spec(model: str) -> str:
    """The stem of a model as a person names it: rl, round_2/rl, or the id that the results show.

    >>> stem_of_spec("round_2/rl"), stem_of_spec("base"), stem_of_spec("a/b") == file_stem("a/b")
    ('round_2.rl', 'base', True)
    """
    match = _STAGE.fullmatch(model)
    if match and match[2] in LABELS:
        return file_stem(match[2], int(match[1]) if match[1] else None)
    return file_stem(model)


def predicted_models(run: Path, data: str | None = None) -> list[str]:
    """The stems of the models with predictions on the run's test rows, or on the set `data`, by name."""
    files = (run / "predictions" / (data or "")).glob("*.jsonl")
    return sorted(file.stem for file in files if not file.stem.endswith((".responses", ".option_scores")))


def read_predictions(run: Path, model: str, data: str | None = None) -> list[Record]:
    """The records of `model` on the run's own test rows, or on the further set `data`.

    Raises UserError where there are none.
    """
    folder = run / "predictions" / (data or "")
    models = predicted_models(run, data)
    path = folder / f"{model if model in models else stem_of_spec(model)}.jsonl"
    if not path.is_file():
        raise UserError(
            f"There are no predictions of {model!r} in {folder}. Available: {', '.join(models) or 'none'}. "
            "They are written by the stage evaluate."
        )
    try:
        return list(map(json.loads, path.read_text(encoding="utf-8").splitlines()))
    except ValueError as error:
        advice = "Run the stage evaluate again."
        raise UserError(f"{path} cannot be read as JSON lines ({error}). {advice}") from error
