"""Runs in the form of a paper's table: a row a method, a column a data set, accuracy in %."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from medical_rl.errors import unknown
from medical_rl.evaluation.results import Run
from medical_rl.evaluation.wording import DISCLAIMER, READINGS
from medical_rl.run.markdown import DASH, figure_cell, markdown_table

# A stage's model -> what the paper calls it.
METHODS = {"sft": "V-SFT", "rl": "V-RFT", "localize_sft": "V-SFT + PA_pi", "localize_rl": "V-RFT + PA_pi"}
MODELS = {
    "qwen2_5_vl_3b": "Qwen2.5-VL-3B", "qwen2_5_vl_7b": "Qwen2.5-VL-7B",
    "Qwen/Qwen2.5-VL-7B-Instruct": "Qwen2.5-VL-7B",
}  # fmt: skip
LEGEND = "Accuracy in %, balanced accuracy in brackets; ± is the standard deviation over seeds."

Key = tuple[str, str]  # (shots, method)


def published_tables() -> dict[str, dict]:
    """VRFT-Aug's own tables: {name: {"columns", "rows": {(shots, method): accuracies in %}, "notes"}}."""
    file = Path(__file__).with_name("published_vrft_aug.yaml")
    tables = yaml.safe_load(file.read_text(encoding="utf-8"))
    for table in tables.values():
        table["rows"] = {tuple(row[:2]): row[2:] for row in table["rows"]}
    return tables


def row_key(settings: Mapping, model: str, data: str) -> Key:
    """(shots, method) of `model` of a run, tested on `data`, as the paper's rows are named.

    shots  rows a class that it learned from, "0" for an untrained model, "" for all; M rows of boxes: "M=100"

    >>> prompt = {"conf.data.name": "d", "conf.prompt.name": "visual_attributes"}
    >>> row_key(prompt | {"conf.data.shots": 10}, "rl", "d")
    ('10', 'V-RFT + PA_P')
    >>> row_key({"conf.model.name": "qwen2_5_vl_3b", "conf.prompt.name": "class_names"}, "base", "d")
    ('0', 'zero-shot, Qwen2.5-VL-3B')
    """
    own_data = settings.get("conf.data.name") == data
    with_attributes = own_data and settings.get("conf.prompt.name") == "visual_attributes"
    attributes = " + PA_P" if with_attributes else ""
    if model not in METHODS:
        if model == "warm_start":
            return "", f"warm start{attributes}"
        name = str(settings.get("conf.model.name")) if model == "base" else model
        return "0", f"zero-shot, {MODELS.get(name, name)}{attributes}"
    shots, rows = settings.get("conf.data.shots"), settings.get("conf.data.limit")
    learned = "" if shots is None else str(shots)
    if rows is not None:
        learned = f"M={rows}"
    method = METHODS[model] + attributes
    delta = settings.get("conf.rewards.terms.recitation.delta")
    if model == "rl" and delta:
        method += f", recitation {delta:+g}"
    return learned, method


def trained_reward(run: Run, model: str) -> str:
    """The outcome that the rewards of a run pay, mfrs or accuracy; "" for a model that no reward trained."""
    if model != "rl":
        return ""
    if "conf.rewards.terms.mfrs.weight" in run.settings:
        return "mfrs"
    return str(run.settings.get("conf.rewards.terms.outcome.by", "accuracy"))


def paper_table(runs: Sequence[Run]) -> dict:
    """{"columns", "rows", "majority", "n", "without": folders without results}.

    rows      {(shots, method): {data: [metrics of each run]}}
    majority  {data: majority rates of its test rows}; n {data: numbers of its test rows}

    Sets of boxes have no accuracy of classes and no column. Where one method was trained with several rewards
    on one set, its rows name the reward. An untrained model that several runs tested on the same rows with
    the same result counts once.
    """
    cells: dict[Key, dict[str, list[tuple[str, dict]]]] = {}
    majority: dict[str, set[float]] = {}
    sizes: dict[str, set[int]] = {}
    for run in runs:
        for row in run.all_evaluations():
            data, metrics = row["dataset"], row["metrics"]
            if "majority_rate" not in metrics:
                continue
            majority.setdefault(data, set()).add(metrics["majority_rate"])
            sizes.setdefault(data, set()).add(row["n"])
            key = row_key(run.settings, row["model"], data)
            cell = cells.setdefault(key, {}).setdefault(data, [])
            measured = (trained_reward(run, row["model"]), metrics)
            if key[0] != "0" or measured not in cell:
                cell.append(measured)
    return {
        "columns": sorted(majority),
        "rows": _rows_by_reward(cells),
        "majority": majority,
        "n": sizes,
        "without": [str(run.path) for run in runs if run.results is None],
    }


def paper_markdown(table: Mapping, paper: str | None = None) -> str:
    """`paper_table`'s result as Markdown.

    paper  a name of `published_tables`: the paper's figures under each row, those of methods not run marked so
    """
    published = {"columns": [], "rows": {}, "notes": []}
    if paper is not None:
        tables = published_tables()
        if paper not in tables:
            raise unknown("table of VRFT-Aug", paper, tables)
        published = tables[paper]
    columns = list(dict.fromkeys(published["columns"] + list(table["columns"])))
    further = [key for key in table["rows"] if key not in published["rows"]]
    body = []
    for key in list(published["rows"]) + sorted(further):
        shots, method = key
        if key in table["rows"]:
            body.append([shots, method] + _measured_cells(table["rows"][key], columns))
        if key in published["rows"]:
            mark = "paper" if key in table["rows"] else "paper; not run"
            figures = dict(zip(published["columns"], published["rows"][key], strict=True))
            average = None if None in figures.values() else statistics.fmean(figures.values())
            printed = [figure_cell(figure, ".2f") for figure in list(map(figures.get, columns)) + [average]]
            body.append([shots, f"{method} ({mark})"] + printed)
    rates, sizes = [], []
    for column in columns:
        percents = [f"{100 * rate:.2f}" for rate in sorted(table["majority"].get(column, ()))]
        rates.append("/".join(percents) or DASH)
        sizes.append("/".join(map(str, sorted(table["n"].get(column, ())))) or DASH)
    body.append(["", "always the most common class"] + rates + [DASH])
    body.append(["", "test rows"] + sizes + [DASH])
    parts = [markdown_table(["Shots", "Method"] + columns + ["Average"], body), LEGEND]
    if table["rows"]:
        body = []
        for (shots, method), by_data in table["rows"].items():
            cells = [_reading_cell(by_data.get(column, ())) for column in table["columns"]]
            body.append([shots, method] + cells)
        parts.append("By how the answers were read, in %: strict / among parsed / lenient.")
        parts += [markdown_table(["Shots", "Method"] + list(table["columns"]), body), READINGS]
    if table["without"]:
        parts.append(f"Without results: {', '.join(table['without'])}.")
    if published["notes"]:
        notes = "\n- ".join(published["notes"])
        parts.append(f"What contradicts what in the paper:\n\n- {notes}")
    parts.append(DISCLAIMER)
    return "\n\n".join(parts) + "\n"


def _rows_by_reward(cells: Mapping[Key, Mapping[str, Sequence[tuple[str, dict]]]]) -> dict[Key, dict]:
    """The rows, one with several rewards on one set divided by them."""
    rows: dict[Key, dict[str, list[dict]]] = {}
    for (shots, method), by_data in cells.items():
        mixed = any(len({reward for reward, _ in measured}) > 1 for measured in by_data.values())
        for data, measured in by_data.items():
            for reward, metrics in measured:
                key = (shots, f"{method}, reward {reward}" if mixed and reward else method)
                rows.setdefault(key, {}).setdefault(data, []).append(metrics)
    return rows


def _measured_cells(row: Mapping[str, Sequence[dict]], columns: Iterable[str]) -> list[str]:
    """The cells of a row of ours, its average last, a dash unless every column has a figure."""
    cells, means = [], []
    for column in columns:
        accuracies = [metrics["accuracy"] for metrics in row.get(column, ())]
        if not accuracies:
            cells.append(DASH)
            means.append(None)
            continue
        means.append(statistics.fmean(accuracies))
        spread = f" ± {100 * statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
        balanced = statistics.fmean(metrics["balanced_accuracy"] for metrics in row[column])
        cells.append(f"{100 * means[-1]:.2f}{spread} ({100 * balanced:.2f})")
    return cells + [DASH if None in means else f"{100 * statistics.fmean(means):.2f}"]


def _reading_cell(runs: Sequence[Mapping[str, float]]) -> str:
    """Strict accuracy, accuracy among parsed and lenient accuracy of a cell's runs, each a mean."""
    figures = []
    for name in ("accuracy", "accuracy_parsed", "lenient"):
        values = [metrics[name] for metrics in runs if name in metrics]
        figures.append(figure_cell(100 * statistics.fmean(values) if values else None, ".2f"))
    return " / ".join(figures) if runs else DASH
