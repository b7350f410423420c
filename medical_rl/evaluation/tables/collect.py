"""One table over several runs: a row a model of a run, and the means over runs that differ by their seed only."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from medical_rl.errors import unknown
from medical_rl.evaluation.markdown import table
from medical_rl.evaluation.results import replace_text
from medical_rl.evaluation.runs import Run, differing, following, phantom, telling, told
from medical_rl.evaluation.wording import DISCLAIMER

PHANTOM = "The data of at least one run are phantoms: images drawn by code, not medical images."
# Metric -> heading; accuracy comes with its interval.
SHOWN = {
    "accuracy": "Accuracy [95 % CI]",
    "balanced_accuracy": "Balanced accuracy",
    "majority_rate": "Majority rate",
    "macro_f1": "Macro F1",
}
# Further columns, each where a run has the number: yes/no questions, grades, boxes, scored options.
FURTHER = {
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "mae": "MAE",
    "quadratic_kappa": "Quadratic kappa",
    "mean_iou": "Mean IoU",
    "auroc": "AUROC",
}
NAMED = 6  # settings in a run's name
PLACE = ("dataset", "split", "model", "round")


def collect(runs: Sequence[Run], by: str | None = "seed") -> dict:
    """{"by", "runs", "means", "phantom"}: rows for every run, and means over the runs that differ in `by` alone.

    by    the setting that is averaged over, with or without "conf."; None averages nothing
    runs  {"run", "folder", "settings", "dataset", "split", "model", "round", "n", metrics, "low", "high"}; a run without
          results has one row {"run", "folder", "settings", "problem"}
    means {"runs" (settings in common that tell it apart), "over" (values of `by`), place, metric: {"mean", "sd"}};
          sd is the sample's, of at least two runs
    """
    names = differing(runs)
    shown = telling(runs, names)
    key = _key(runs, by)
    rows = [row for run in runs for row in _rows(run, _name(run, shown), shown)]
    means = _means(runs, names, key) if key else []
    return {"by": key, "runs": rows, "means": means, "phantom": any(phantom(run.path) for run in runs)}


def markdown(found: dict) -> str:
    """`collect`'s result as Markdown: a table of runs, one of means where there are any, runs without results named."""
    done, missing = ([r for r in found["runs"] if ("problem" in r) == lacks] for lacks in (False, True))
    columns = SHOWN | {m: title for m, title in FURTHER.items() if any(r[m] is not None for r in done)}
    folders = len({row["folder"] for row in found["runs"]})
    parts = ["# Collected results", f"{folders} runs, {len(missing)} without results."]
    if done or missing:
        body = [
            [r["run"], f"{r['dataset']}, {r['split']}", _model(r), str(r["n"]), *_figures(r, columns)]
            for r in done
        ]
        body += [[r["run"], f"**{r['problem']}**", *["–"] * (2 + len(columns))] for r in missing]
        parts.append(table(["Run", "Data", "Model", "n", *columns.values()], body))
    if found["means"]:
        heading = [title.removesuffix(" [95 % CI]") for title in columns.values()]
        body = [
            [
                r["runs"],
                f"{r['dataset']}, {r['split']}",
                _model(r),
                str(len(r["over"])),
                *(_spread(r, m) for m in columns),
            ]
            for r in found["means"]
        ]
        parts += [
            f"Mean ± standard deviation over {found['by']}:",
            table(["Runs", "Data", "Model", "Runs in it", *heading], body),
        ]
    return "\n\n".join([*parts, *([PHANTOM] if found["phantom"] else []), DISCLAIMER]) + "\n"


def write(found: dict, out: Path) -> list[Path]:
    """The files written to the folder `out`: collected.md, collected.csv (the runs) and collected.json (all)."""
    out.mkdir(parents=True, exist_ok=True)
    columns = ("run", "folder", *PLACE, "n", *SHOWN, *FURTHER, "low", "high", "problem")
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(found["runs"])
    as_json = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    texts = {"collected.md": markdown(found), "collected.csv": text.getvalue(), "collected.json": as_json}
    for name, content in texts.items():
        replace_text(out / name, content)
    return [out / name for name in texts]


def _key(runs: Sequence[Run], by: str | None) -> str | None:
    if by is None:
        return None
    known = {name for run in runs for name in run.settings}
    found = next((name for name in (by, f"conf.{by}") if name in known), None)
    if found is None:
        raise unknown("setting to average over", by, known)
    return found


def _name(run: Run, shown: Sequence[str]) -> str:
    """What differs, or the folder's name where nothing or too much does."""
    return told(run, shown) if 0 < len(shown) <= NAMED else run.path.name


def _rows(run: Run, name: str, shown: Sequence[str]) -> list[dict]:
    head = {"run": name, "folder": str(run.path), "settings": {key: run.settings.get(key) for key in shown}}
    if run.results is None:
        return [head | {"problem": run.problem}]
    found = []
    for row in run.results["evaluations"]:
        low, high = row.get("interval", {}).get("accuracy", (None, None))
        figures = {metric: row["metrics"].get(metric) for metric in (*SHOWN, *FURTHER)}
        found.append(
            head | {key: row.get(key) for key in (*PLACE, "n")} | figures | {"low": low, "high": high}
        )
    return found


def _means(runs: Sequence[Run], names: Sequence[str], key: str) -> list[dict]:
    apart = [name for name in names if name not in following(runs, key)]
    shown = telling(runs, apart)
    groups: dict[tuple, list[tuple[Run, dict]]] = {}
    for run in runs:
        alike = json.dumps([run.settings.get(name, "(none)") for name in apart], default=str)
        for row in (run.results or {}).get("evaluations", []):
            members = groups.setdefault((alike, *(row.get(place) for place in PLACE)), [])
            # runs that went further or less far with one seed are no two seeds
            if run.settings.get(key) not in [other.settings.get(key) for other, _ in members]:
                members.append((run, row))
    return [_mean(members, shown, key) for members in groups.values() if len(members) > 1]


def _mean(members: Sequence[tuple[Run, dict]], shown: Sequence[str], key: str) -> dict:
    run, row = members[0]
    found = {
        "runs": told(run, shown) or "all",
        "over": [r.settings.get(key) for r, _ in members],
        **{p: row.get(p) for p in PLACE},
    }
    for metric in (*SHOWN, *FURTHER):
        values = [of["metrics"][metric] for _, of in members if metric in of["metrics"]]
        if len(values) > 1:
            found[metric] = {"mean": statistics.fmean(values), "sd": statistics.stdev(values)}
    return found


def _model(row: dict) -> str:
    return row["model"] if row["round"] is None else f"{row['model']}, round {row['round']}"


def _figures(row: dict, columns: Iterable[str]) -> list[str]:
    figures = ["–" if row[metric] is None else f"{row[metric]:.3f}" for metric in columns]
    if row["low"] is not None:
        figures[0] += f" [{row['low']:.3f}, {row['high']:.3f}]"
    return figures


def _spread(row: dict, metric: str) -> str:
    return f"{row[metric]['mean']:.3f} ± {row[metric]['sd']:.3f}" if metric in row else "–"
