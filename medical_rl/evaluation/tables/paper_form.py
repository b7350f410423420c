"""Several runs in the form of a paper's table: a row a method, a column a data set, accuracy in % with balanced accuracy beside it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from medical_rl.errors import unknown
from medical_rl.evaluation.markdown import table
from medical_rl.evaluation.runs import Run
from medical_rl.evaluation.tables.printed import TABLES, Printed
from medical_rl.evaluation.wording import DISCLAIMER

# A stage's model -> what the paper calls it.
METHODS = {"sft": "V-SFT", "rl": "V-RFT", "localize_sft": "V-SFT + PA_pi", "localize_rl": "V-RFT + PA_pi"}
MODELS = {
    "qwen2_5_vl_3b": "Qwen2.5-VL-3B",
    "qwen2_5_vl_7b": "Qwen2.5-VL-7B",
    "Qwen/Qwen2.5-VL-7B-Instruct": "Qwen2.5-VL-7B",
}
READ = "Accuracy in %, balanced accuracy in brackets; ± is the standard deviation over seeds."

Key = tuple[str, str]  # (shots, method)


def method(settings: Mapping, model: str, data: str) -> Key:
    """(shots, method) of `model` of a run, tested on `data`, as the paper's rows are named.

    shots  rows a class that it learned from, "0" for an untrained model, "" for all; M rows of boxes: "M=100"

    >>> method({"conf.data.name": "d", "conf.prompt.name": "visual_attributes", "conf.data.shots": 10}, "rl", "d")
    ('10', 'V-RFT + PA_P')
    >>> method({"conf.model.name": "qwen2_5_vl_3b", "conf.prompt.name": "class_names"}, "base", "d")
    ('0', 'zero-shot, Qwen2.5-VL-3B')
    """
    own = settings.get("conf.data.name") == data
    attributes = " + PA_P" if own and settings.get("conf.prompt.name") == "visual_attributes" else ""
    if model not in METHODS:
        known = {"base": str(settings.get("conf.model.name")), "warm_start": "warm start"}.get(model, model)
        return "0", f"zero-shot, {MODELS.get(known, known)}{attributes}"
    shots, rows = settings.get("conf.data.shots"), settings.get("conf.data.limit")
    learned = f"M={rows}" if rows is not None else "" if shots is None else str(shots)
    delta = settings.get("conf.rewards.terms.recitation.delta") if model == "rl" else None
    recited = "" if not delta else f", recitation {delta:+g}"
    return learned, METHODS[model] + attributes + recited


def paper_form(runs: Sequence[Run]) -> dict:
    """{"columns", "rows": {(shots, method): {data: [metrics of each run]}}, "majority": {data: rates seen}, "n": {data: rows}, "without"}.

    Sets of boxes have no accuracy of classes and no column. Where one method was trained with several rewards on one set, its rows name
    the reward. An untrained model that several runs tested on the same rows with the same result counts once.
    """
    cells: dict[Key, dict[str, list[tuple[str, dict]]]] = {}
    majority: dict[str, set[float]] = {}
    n: dict[str, set[int]] = {}
    for run in runs:
        for row in (run.results or {}).get("evaluations", []):
            data, metrics = row["dataset"], row["metrics"]
            if "majority_rate" not in metrics:
                continue
            majority.setdefault(data, set()).add(metrics["majority_rate"])
            n.setdefault(data, set()).add(row["n"])
            key = method(run.settings, row["model"], data)
            here = cells.setdefault(key, {}).setdefault(data, [])
            if key[0] != "0" or (reward(run, row["model"]), metrics) not in here:
                here.append((reward(run, row["model"]), metrics))
    without = [str(run.path) for run in runs if run.results is None]
    return {
        "columns": sorted(majority),
        "rows": _apart(cells),
        "majority": majority,
        "n": n,
        "without": without,
    }


def reward(run: Run, model: str) -> str:
    """The outcome that the rewards of a run pay, mfrs or accuracy; "" for a model that no reward trained."""
    if model != "rl":
        return ""
    return (
        "mfrs"
        if "conf.rewards.terms.mfrs.weight" in run.settings
        else str(run.settings.get("conf.rewards.terms.outcome.by", "accuracy"))
    )


def _apart(cells: Mapping[Key, Mapping[str, Sequence[tuple[str, dict]]]]) -> dict[Key, dict[str, list[dict]]]:
    """The rows, one with several rewards on one set divided by them."""
    found: dict[Key, dict[str, list[dict]]] = {}
    for (shots, name), of in cells.items():
        mixed = any(len({paid for paid, _ in values}) > 1 for values in of.values())
        for data, values in of.items():
            for paid, metrics in values:
                row = (shots, f"{name}, reward {paid}" if mixed and paid else name)
                found.setdefault(row, {}).setdefault(data, []).append(metrics)
    return found


def markdown(found: Mapping, paper: str | None = None) -> str:
    """The table; with `paper` (a name of vrft_aug_figures.TABLES) the paper's figures under each row, those of methods not run marked so."""
    if paper is not None and paper not in TABLES:
        raise unknown("table of VRFT-Aug", paper, TABLES)
    printed = TABLES[paper] if paper else Printed((), {})
    columns = [*printed.columns, *(c for c in found["columns"] if c not in printed.columns)]
    keys = [*printed.rows, *sorted(key for key in found["rows"] if key not in printed.rows)]
    body = []
    for key in keys:
        if key in found["rows"]:
            body.append([*key, *_ours(found["rows"][key], columns)])
        if key in printed.rows:
            mark = "paper" if key in found["rows"] else "paper; not run"
            body.append([key[0], f"{key[1]} ({mark})", *_theirs(printed, key, columns)])
    rates = [
        "–"
        if c not in found["majority"]
        else "/".join(f"{100 * r:.2f}" for r in sorted(found["majority"][c]))
        for c in columns
    ]
    body.append(["", "always the most common class", *rates, "–"])
    rows = ["–" if c not in found["n"] else "/".join(map(str, sorted(found["n"][c]))) for c in columns]
    body.append(["", "test rows", *rows, "–"])
    parts = [table(["Shots", "Method", *columns, "Average"], body), READ]
    if found["without"]:
        parts.append(f"Without results: {', '.join(found['without'])}.")
    if printed.notes:
        parts.append(
            "What contradicts what in the paper:\n\n" + "\n".join(f"- {note}" for note in printed.notes)
        )
    return "\n\n".join([*parts, DISCLAIMER]) + "\n"


def _ours(of: Mapping[str, Sequence[dict]], columns: Sequence[str]) -> list[str]:
    cells, means = [], []
    for column in columns:
        values = [metrics["accuracy"] for metrics in of.get(column, ())]
        if not values:
            cells.append("–")
            continue
        means.append(statistics.fmean(values))
        spread = f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else ""
        balanced = statistics.fmean(metrics["balanced_accuracy"] for metrics in of[column])
        cells.append(f"{100 * means[-1]:.2f}{spread} ({100 * balanced:.2f})")
    return [*cells, f"{100 * statistics.fmean(means):.2f}" if len(means) == len(columns) else "–"]


def _theirs(printed: Printed, key: Key, columns: Sequence[str]) -> list[str]:
    values = dict(zip(printed.columns, printed.rows[key], strict=True))
    known = [v for v in values.values() if v is not None]
    average = f"{statistics.fmean(known):.2f}" if len(known) == len(printed.columns) else "–"
    return [*("–" if values.get(c) is None else f"{values[c]:.2f}" for c in columns), average]
