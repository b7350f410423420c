"""One table over several runs: a row a model of a run, and means over runs that differ by seed."""

import csv
import io
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from medical_rl.errors import unknown
from medical_rl.evaluation.results import (
    Run,
    data_notes,
    differing_settings,
    distinguishing_settings,
    setting_names,
    settings_following,
    settings_text,
)
from medical_rl.evaluation.wording import COLUMNS, DISCLAIMER, PHANTOM_NOTE, READINGS
from medical_rl.run.files import write_text
from medical_rl.run.markdown import DASH, figure_cell, markdown_table

PHANTOM_RUNS_NOTE = "The data of at least one run are phantoms: images drawn by code, not medical images."
SHOWN = ("accuracy", "balanced_accuracy", "majority_rate", "macro_f1")
# The columns in order; those that are not in SHOWN where a run has the number: the other readings of answers,
# yes/no questions, grades, boxes, scored options.
METRICS = (
    "accuracy", "accuracy_parsed", "lenient", "balanced_accuracy", "majority_rate", "macro_f1", "precision", "recall",
    "f1", "mae", "quadratic_kappa", "mean_iou", "auroc",
)  # fmt: skip
NAMED = 6  # settings in a run's name
# What must be the same where rows are averaged.
KEY = ("dataset", "split", "model", "round")


def collect_runs(runs: Sequence[Run], by: str | None = "seed") -> dict:
    """{"by", "runs", "means", "phantom", "leaks"}: a row a model of a run, and means over runs that differ in `by`.

    by    the setting that is averaged over, with or without "conf."; None averages nothing
    runs  {"run", "folder", "settings", "dataset", "split", "model", "round", "n", metrics, "low", "high"};
          a run without results has one row {"run", "folder", "settings", "problem"}
    means {"runs" (settings in common that tell it apart), "over" (values of `by`), "dataset", "split",
          "model", "round", metric: {"mean", "sd"}}; sd is the sample's, of at least two runs
    """
    differing = differing_settings(runs)
    distinguishing = distinguishing_settings(runs, differing)
    rows = []
    for run in runs:
        rows += _run_rows(run, distinguishing)
    setting, means = None, []
    if by is not None:
        names = setting_names(runs)
        setting = next((name for name in (by, f"conf.{by}") if name in names), None)
        if setting is None:
            raise unknown("setting to average over", by, names)
        means = _means(runs, differing, setting)
    notes = data_notes(runs)
    leaks = [note for note in notes if note != PHANTOM_NOTE]
    return {"by": setting, "runs": rows, "means": means, "phantom": PHANTOM_NOTE in notes, "leaks": leaks}


def collected_markdown(collected: Mapping) -> str:
    """`collect_runs`'s result as Markdown: a table of runs, and one of means where there are any."""
    rows = collected["runs"]
    present = {metric for metric in METRICS if any(row.get(metric) is not None for row in rows)}
    columns = [metric for metric in METRICS if metric in present or metric in SHOWN]
    headings = list(map(COLUMNS.get, columns))
    body, missing = [], []
    for row in rows:
        if "problem" in row:
            missing.append([row["run"], f"**{row['problem']}**"] + [DASH] * (2 + len(columns)))
            continue
        figures = list(map(figure_cell, map(row.get, columns)))
        if row["low"] is not None:
            figures[0] += f" [{row['low']:.3f}, {row['high']:.3f}]"
        body.append([row["run"], f"{row['dataset']}, {row['split']}", _model(row), row["n"]] + figures)
    folders = len({row["folder"] for row in rows})
    parts = ["# Collected results", f"{folders} runs, {len(missing)} without results."]
    body += missing
    if body:
        parts.append(markdown_table(["Run", "Data", "Model", "n"] + headings, body))
    body = []
    for row in collected["means"]:
        spreads = []
        for figures in map(row.get, columns):
            spreads.append(DASH if figures is None else f"{figures['mean']:.3f} ± {figures['sd']:.3f}")
        data = f"{row['dataset']}, {row['split']}"
        body.append([row["runs"], data, _model(row), len(row["over"])] + spreads)
    if body:
        headings[0] = headings[0].removesuffix(" [95 % CI]")
        table = markdown_table(["Runs", "Data", "Model", "Runs in it"] + headings, body)
        parts += [f"Mean ± standard deviation over {collected['by']}:", table]
    if "lenient" in present:
        parts.append(READINGS)
    if collected["phantom"]:
        parts.append(PHANTOM_RUNS_NOTE)
    parts += collected["leaks"]
    parts.append(DISCLAIMER)
    return "\n\n".join(parts) + "\n"


def write_collected(collected: Mapping, out: Path) -> list[Path]:
    """Write collected.md, collected.csv (the runs) and collected.json (all) to `out`; returns the paths."""
    columns = ("run", "folder") + KEY + ("n",) + METRICS + ("low", "high", "problem")
    as_csv = io.StringIO()
    writer = csv.DictWriter(as_csv, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(collected["runs"])
    texts = {
        "collected.md": collected_markdown(collected),
        "collected.csv": as_csv.getvalue(),
        "collected.json": json.dumps(collected, indent=2, ensure_ascii=False) + "\n",
    }
    for name, text in texts.items():
        write_text(out / name, text)
    return list(map(out.joinpath, texts))


def _run_rows(run: Run, distinguishing: Sequence[str]) -> list[dict]:
    """A row an evaluation, the run named by what differs, or by its folder if nothing or too much does."""
    name = settings_text(run, distinguishing) if 0 < len(distinguishing) <= NAMED else run.path.name
    settings = dict(zip(distinguishing, map(run.settings.get, distinguishing), strict=True))
    head = {"run": name, "folder": str(run.path), "settings": settings}
    if run.results is None:
        return [head | {"problem": run.problem}]
    rows = []
    for evaluation in run.all_evaluations():
        row = head | _key_fields(evaluation) | {"n": evaluation["n"]}
        row |= zip(METRICS, map(evaluation["metrics"].get, METRICS), strict=True)
        row["low"], row["high"] = evaluation.get("interval", {}).get("accuracy", (None, None))
        rows.append(row)
    return rows


def _means(runs: Sequence[Run], differing: Iterable[str], setting: str) -> list[dict]:
    """The means over the runs that are alike but for `setting` and what follows from it."""
    following = settings_following(runs, setting)
    apart = [name for name in differing if name not in following]
    distinguishing = distinguishing_settings(runs, apart)
    groups: dict[tuple, list[tuple[Run, dict]]] = {}
    for run in runs:
        alike = json.dumps([run.settings.get(name, "(none)") for name in apart], default=str)
        value = run.settings.get(setting)
        for evaluation in run.all_evaluations():
            members = groups.setdefault((alike,) + tuple(_key_fields(evaluation).values()), [])
            # runs that went further or less far with one seed are no two seeds
            if value not in [other.settings.get(setting) for other, _ in members]:
                members.append((run, evaluation))
    return [_mean(members, distinguishing, setting) for members in groups.values() if len(members) > 1]


def _mean(members: Sequence[tuple[Run, dict]], distinguishing: Sequence[str], setting: str) -> dict:
    first_run, first = members[0]
    over = [run.settings.get(setting) for run, _ in members]
    mean = {"runs": settings_text(first_run, distinguishing) or "all", "over": over} | _key_fields(first)
    for metric in METRICS:
        values = [row["metrics"][metric] for _, row in members if metric in row["metrics"]]
        if len(values) > 1:
            mean[metric] = {"mean": statistics.fmean(values), "sd": statistics.stdev(values)}
    return mean


def _key_fields(row: Mapping) -> dict:
    return {key: row.get(key) for key in KEY}


def _model(row: Mapping) -> str:
    return row["model"] if row["round"] is None else f"{row['model']}, round {row['round']}"
