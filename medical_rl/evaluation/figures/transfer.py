"""Who is good at what after learning from one source (MedGR2, figure 4).

A row is a training source, a column a tested group.
"""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from medical_rl.errors import UserError
from medical_rl.evaluation.figures.plot import canvas
from medical_rl.evaluation.groups import GROUPS, group_figures, in_group_order
from medical_rl.evaluation.runs import Run
from medical_rl.run.markdown import DASH, figure_cell

# The settings below conf.data that say what a run was trained on, the first that is set counts.
TRAINED_ON = {
    "modality": ("train_where.modality", "params.modalities", "params.tasks"),
    "question_type": ("train_where.question_type", "params.question_types", "params.tasks"),
}
EVERYTHING = "(all)"


def trained_on(run: Run, by: str) -> str:
    """The group that the run was trained on; several joined by "+"; "(all)" if none was chosen.

    >>> from pathlib import Path
    >>> trained_on(Run(Path("."), {"conf.data.train_where.modality": ["dark"]}, None), "modality")
    'dark'
    """
    for name in TRAINED_ON[by]:
        chosen = run.settings.get(f"conf.data.{name}")
        if chosen:
            return chosen if isinstance(chosen, str) else " + ".join(map(str, chosen))
    return EVERYTHING


def transfer_matrices(runs: Sequence[Run], by: str, model: str = "rl", data: str | None = None) -> dict:
    """{"rows", "columns", "n", "accuracy", "difference", "data", "runs"} of `model`.

    accuracy    {(trained on, tested group): mean over the runs of that source}
    difference  the same, minus the run's own base model's accuracy on the same rows; no cell without a base
    n           {tested group: rows}, those of the first run
    data        the sets tested on: `data`, or of each run the one with most groups
    runs        {trained on: number of runs}
    Raises UserError where no run has such an evaluation.
    """
    accuracies: dict[tuple[str, str], list[float]] = {}
    gains: dict[tuple[str, str], list[float]] = {}
    sizes: dict[str, int] = {}
    sources: Counter[str] = Counter()
    tested = set()
    for run in runs:
        name = data or _widest_set(run, by)
        row = run.last_evaluation(model, name)
        if row is None:
            continue
        base = group_figures(run.last_evaluation("base", name) or {}, by)
        source = trained_on(run, by)
        sources[source] += 1
        tested.add(name)
        for group, figures in group_figures(row, by).items():
            sizes.setdefault(group, figures["n"])
            accuracies.setdefault((source, group), []).append(figures["accuracy"])
            if group in base:
                gain = figures["accuracy"] - base[group]["accuracy"]
                gains.setdefault((source, group), []).append(gain)
    if not accuracies:
        raise UserError(
            f"None of the {len(runs)} runs has {model!r} evaluated by {GROUPS[by]}"
            f"{f' on {data}' if data else ''}. Their data must name it, and conf.evaluation.data can add a set with all groups."
        )
    columns = list(in_group_order(sizes))
    # the sources that are tested groups in the order of these, then the others
    rows = [name for name in columns if name in sources] + sorted(set(sources) - set(columns))
    return {
        "rows": rows,
        "columns": columns,
        "n": sizes,
        "accuracy": dict(zip(accuracies, map(statistics.fmean, accuracies.values()), strict=True)),
        "difference": dict(zip(gains, map(statistics.fmean, gains.values()), strict=True)),
        "data": sorted(tested),
        "runs": dict(sources),
    }


def table(matrices: Mapping) -> tuple[list[str], list[list[str]]]:
    """(header, rows): each cell the accuracy and, in brackets, the difference to the base model."""
    body = []
    for row in matrices["rows"]:
        cells = [_row_label(matrices, row)]
        for column in matrices["columns"]:
            accuracy = matrices["accuracy"].get((row, column))
            gain = matrices["difference"].get((row, column))
            cell = figure_cell(accuracy)
            cells.append(cell if gain is None else f"{cell} ({gain:+.3f})")
        body.append(cells)
    return ["Trained on"] + [f"{column} (n {matrices['n'][column]})" for column in matrices["columns"]], body


def draw(matrices: Mapping, by: str):
    """The figure: two matrices, accuracy and difference to the base; the group trained on is framed."""
    rows, columns = matrices["rows"], matrices["columns"]
    figure, (left, right) = canvas(
        max(3.2 + 1.7 * len(columns), 7), 1.9 + 0.45 * len(rows), columns=2, sharey=True
    )
    _draw_matrix(left, matrices, "accuracy", ".2f", cmap="viridis", vmin=0.0, vmax=1.0)
    left.set(title="Accuracy", xlabel=f"tested on ({GROUPS[by]})", ylabel="trained on")
    most = max(map(abs, matrices["difference"].values()), default=0) or 1
    _draw_matrix(right, matrices, "difference", "+.2f", cmap="RdBu_r", vmin=-most, vmax=most)
    right.set(title="Difference to the base model", xlabel=f"tested on ({GROUPS[by]})")
    return figure


def _draw_matrix(axis, matrices: Mapping, key: str, form: str, **colours) -> None:
    """Draw the matrix `key`: each cell coloured and with its figure, dark cells written white."""
    import numpy as np
    from matplotlib.patches import Rectangle

    rows, columns = matrices["rows"], matrices["columns"]
    values = np.full((len(rows), len(columns)), np.nan)
    for (row, column), value in matrices[key].items():
        values[rows.index(row), columns.index(column)] = value
    axis.imshow(values, aspect="auto", **colours)
    dark = values < 0.6 if key == "accuracy" else np.abs(values) > 0.6 * colours["vmax"]
    for (i, j), value in np.ndenumerate(values):
        text = DASH if np.isnan(value) else format(value, form)
        axis.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark[i, j] else "black")
        if rows[i] == columns[j]:
            frame = Rectangle((j - 0.48, i - 0.48), 0.96, 0.96, fill=False, edgecolor="black", linewidth=2)
            axis.add_patch(frame)
    labels = [f"{column}\nn {matrices['n'][column]}" for column in columns]
    axis.set_xticks(range(len(columns)), labels, rotation=30, ha="right", fontsize=8)
    axis.set_yticks(range(len(rows)), [_row_label(matrices, row) for row in rows], fontsize=8)


def _row_label(matrices: Mapping, row: str) -> str:
    runs = matrices["runs"][row]
    return row if runs == 1 else f"{row} ({runs} runs)"


def _widest_set(run: Run, by: str) -> str | None:
    """The data set of a run's evaluations with most groups, of these the one with most rows."""

    def width(row: Mapping) -> tuple[int, int]:
        return len(group_figures(row, by)), row["n"]

    return max(run.all_evaluations(), key=width, default={}).get("dataset")
