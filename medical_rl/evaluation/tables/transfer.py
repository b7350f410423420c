"""Who is good at what after learning from one source (MedGR2, figure 4): a row a training source, a column a tested group."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from medical_rl.errors import UserError
from medical_rl.evaluation.figures.plot import canvas
from medical_rl.evaluation.groups import GROUPS, UNNAMED
from medical_rl.evaluation.runs import Run

# The settings that say what a run was trained on, the first that is set counts.
TRAINED_ON = {
    "modality": ("conf.data.train_where.modality", "conf.data.params.modalities", "conf.data.params.tasks"),
    "question_type": (
        "conf.data.train_where.question_type",
        "conf.data.params.question_types",
        "conf.data.params.tasks",
    ),
}
EVERYTHING = "(all)"


def trained_on(run: Run, by: str) -> str:
    """The modality or question type that the run was trained on; several joined by "+"; "(all)" where none was chosen.

    >>> from pathlib import Path
    >>> trained_on(Run(Path("."), {"conf.data.train_where.modality": ["dark"]}, None), "modality")
    'dark'
    """
    chosen = next((run.settings[name] for name in TRAINED_ON[by] if run.settings.get(name)), None)
    return EVERYTHING if not chosen else chosen if isinstance(chosen, str) else " + ".join(map(str, chosen))


def transfer(runs: Sequence[Run], by: str, model: str = "rl", data: str | None = None) -> dict:
    """{"rows", "columns", "n", "accuracy", "difference", "data", "runs"} of `model`, difference to the run's own base.

    accuracy    {(trained on, tested group): mean over the runs of that source}
    difference  the same, minus the base model's accuracy on the same rows; a cell without a base is not there
    n           {tested group: rows}, those of the first run
    data        the set tested on: `data`, or of each run the one with most groups (its own has those it is trained on only)

    UserError where no run has such an evaluation.
    """
    cells: dict[tuple[str, str], list[tuple[float, float | None]]] = {}
    n: dict[str, int] = {}
    sources: dict[str, int] = {}
    tested = set()
    for run in runs:
        source = trained_on(run, by)
        name = data or _widest(run, by)
        last, base = _last(run, name, model), _last(run, name, "base")
        if last is None:
            continue
        tested.add(name)
        sources[source] = sources.get(source, 0) + 1
        for group, of in last["groups"].get(by, {}).items():
            before = (base or {}).get("groups", {}).get(by, {}).get(group, {}).get("accuracy")
            cells.setdefault((source, group), []).append((of["accuracy"], before))
            n.setdefault(group, of["n"])
    if not cells:
        raise UserError(
            f"None of the {len(runs)} runs has {model!r} evaluated by {GROUPS[by]}{f' on {data}' if data else ''}. "
            "Their data must name it, and conf.evaluation.data can add a set with all groups."
        )
    columns = sorted(n, key=lambda g: (g == UNNAMED, g))
    rows = sorted(sources, key=lambda s: (s not in columns, columns.index(s) if s in columns else 0, s))
    accuracy = {cell: statistics.fmean(value for value, _ in values) for cell, values in cells.items()}
    gains = {
        cell: [value - before for value, before in values if before is not None]
        for cell, values in cells.items()
    }
    difference = {cell: statistics.fmean(values) for cell, values in gains.items() if values}
    found = {"rows": rows, "columns": columns, "n": n, "accuracy": accuracy, "difference": difference}
    return {**found, "data": sorted(tested), "runs": sources}


def table(found: Mapping) -> tuple[list[str], list[list[str]]]:
    """(header, rows): each cell the accuracy and, in brackets, the difference to the base model."""
    body = [
        [_row(found, row), *(_cell(found, row, column) for column in found["columns"])]
        for row in found["rows"]
    ]
    return ["Trained on", *(f"{column} (n {found['n'][column]})" for column in found["columns"])], body


def draw(found: Mapping, by: str):
    """The figure: two matrices, accuracy and difference to the base; the group trained on is framed."""
    import numpy as np
    from matplotlib.patches import Rectangle

    rows, columns = found["rows"], found["columns"]
    width = 3.2 + 1.7 * len(columns)
    figure, axes = canvas(max(width, 7), 1.9 + 0.45 * len(rows), columns=2, sharey=True)
    panels = (
        ("accuracy", "Accuracy", "viridis", 0.0, 1.0),
        ("difference", "Difference to the base model", "RdBu_r", None, None),
    )
    for one, (key, title, colours, low, high) in zip(axes, panels, strict=True):
        cells = found[key]
        values = np.array([[cells.get((row, column), np.nan) for column in columns] for row in rows])
        most = max((abs(v) for v in cells.values()), default=0) or 1
        one.imshow(
            values,
            cmap=colours,
            vmin=-most if low is None else low,
            vmax=most if high is None else high,
            aspect="auto",
        )
        for (i, j), value in np.ndenumerate(values):
            text = "–" if np.isnan(value) else f"{value:.2f}" if key == "accuracy" else f"{value:+.2f}"
            dark = value < 0.6 if key == "accuracy" else abs(value) > 0.6 * most
            one.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
            if rows[i] == columns[j]:
                one.add_patch(
                    Rectangle((j - 0.48, i - 0.48), 0.96, 0.96, fill=False, edgecolor="black", linewidth=2)
                )
        one.set_xticks(
            range(len(columns)),
            [f"{c}\nn {found['n'][c]}" for c in columns],
            rotation=30,
            ha="right",
            fontsize=8,
        )
        one.set_yticks(range(len(rows)), [_row(found, row) for row in rows], fontsize=8)
        one.set(title=title, xlabel=f"tested on ({GROUPS[by]})")
    axes[0].set_ylabel("trained on")
    return figure


def _row(found: Mapping, row: str) -> str:
    return row if found["runs"][row] == 1 else f"{row} ({found['runs'][row]} runs)"


def _cell(found: Mapping, row: str, column: str) -> str:
    if (row, column) not in found["accuracy"]:
        return "–"
    gain = found["difference"].get((row, column))
    return f"{found['accuracy'][row, column]:.3f}" + ("" if gain is None else f" ({gain:+.3f})")


def _widest(run: Run, by: str) -> str | None:
    evaluations = (run.results or {}).get("evaluations", [])
    return max(
        evaluations, key=lambda row: (len(row.get("groups", {}).get(by, {})), row["n"]), default={}
    ).get("dataset")


def _last(run: Run, data: str | None, model: str) -> dict | None:
    """The evaluation of `model` on `data`, of the last round where there are several; None where there is none."""
    found = [row for row in run.evaluations(data) if row["model"] == model]
    return max(found, key=lambda row: row.get("round") or 0, default=None)
