"""MedGR2's figures over our runs, each as numbers, a table and a picture.

Figure 5: what became of each question between two models, and McNemar's exact test of whether more were
corrected than broken. Figure 4: who is good at what after learning from one source. Figure 3: of what a
prepared folder consists. Figure 2: accuracy by the number of generated rows kept.
"""

import operator
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from medical_rl.errors import UserError, unknown
from medical_rl.evaluation.figures.plot import COLOURS, canvas
from medical_rl.evaluation.metrics import (
    GROUPS,
    UNNAMED,
    Record,
    group_figures,
    in_group_order,
    is_correct,
    records_by_group,
    sample_groups,
)
from medical_rl.evaluation.results import Run
from medical_rl.run.markdown import DASH, figure_cell

CORRECTED, BROKEN = "wrong → correct", "correct → wrong"
# Flow -> colours of its bar and of the count in it, in the order in which a bar shows them.
FLOWS = {
    "correct → correct": ("#007A59", "white"),
    CORRECTED: ("#0072B2", "white"),
    BROKEN: ("#F0A818", "black"),
    "wrong → wrong": ("#B3202A", "white"),
}
MCNEMAR_NOTE = (
    "p: McNemar's exact test of wrong → correct against correct → wrong, two-sided, not corrected for the "
    "number of bars. It takes the questions as independent."
)
# The settings below conf.data that say what a run was trained on, the first that is set counts.
TRAINED_ON = {
    "modality": ("train_where.modality", "params.modalities", "params.tasks"),
    "question_type": ("train_where.question_type", "params.question_types", "params.tasks"),
}
# How rows were kept -> name in the figure; those of `COUNTED` keep K rows, the others as many as there are.
FILTERS = {
    "top_k": "TopK", "random_k": "RandK", "tau": "threshold", "quantile": "quantile", "none": "unfiltered",
}  # fmt: skip
COUNTED = ("top_k", "random_k")
TRAININGS = {"warm_start": "SFT", "rl": "SFT + GRPO"}


def transition_counts(
    before: Sequence[Record], after: Sequence[Record], by: str | None = "modality"
) -> dict[str, dict]:
    """{"all rows" and each group: {flow: rows, "n": rows, "p": McNemar's exact p}}.

    Raises UserError where the two models did not answer the same rows.
    """
    was_correct = {row["id"]: is_correct(row) for row in before}
    unshared = sorted(set(was_correct) ^ {row["id"] for row in after})
    if unshared or len(was_correct) != len(after):
        raise UserError(
            f"The two models answered other rows: {len(unshared)} rows are in one only, "
            f"such as {unshared[:1]}. Evaluate both again."
        )
    groups = {"all rows": after}
    if by:
        groups |= records_by_group(after, by)
    counts = {}
    for name, rows in groups.items():
        flows: Counter[str] = Counter()
        for row in rows:
            first, then = (
                "correct" if right else "wrong" for right in (was_correct[row["id"]], is_correct(row))
            )
            flows[f"{first} → {then}"] += 1
        counts[name] = dict.fromkeys(FLOWS, 0) | flows
        counts[name] |= {"n": len(rows), "p": mcnemar_p(flows[CORRECTED], flows[BROKEN])}
    return counts


def mcnemar_p(corrected: int, broken: int) -> float:
    """McNemar's exact two-sided p: of as uneven a split of the changed rows, were both equally likely.

    >>> round(mcnemar_p(8, 2), 4), mcnemar_p(0, 0)
    (0.1094, 1.0)
    """
    from scipy.stats import binomtest

    changed = corrected + broken
    return float(binomtest(corrected, changed, 0.5).pvalue) if changed else 1.0


def transitions_table(counts: Mapping[str, Mapping]) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of `transition_counts`."""
    body = []
    for group, row in counts.items():
        flows = [str(row[flow]) for flow in FLOWS]
        body.append([group, str(row["n"])] + flows + [_p_text(row["p"])])
    return ["Group", "n"] + list(FLOWS) + ["p"], body


def draw_transitions(counts: Mapping[str, Mapping], before: str, after: str, by: str | None):
    """The figure: a stacked bar of shares for each group, with counts, n and p."""
    figure, axes = canvas(8.5, 1.3 + 0.45 * len(counts))
    for i, row in enumerate(counts.values()):
        left = 0.0
        for flow, (colour, text_colour) in FLOWS.items():
            share = row[flow] / row["n"]
            axes.barh(i, share, left=left, color=colour, height=0.7, label=flow if i == 0 else None)
            if share > 0.03:
                middle = left + share / 2
                axes.text(middle, i, str(row[flow]), ha="center", va="center", fontsize=8, color=text_colour)
            left += share
        axes.text(1.01, i, f"n {row['n']}, p {_p_text(row['p'])}", va="center", fontsize=8)
    axes.set_yticks(range(len(counts)), list(counts))
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel=f"share of questions ({before} → {after})", ylabel=GROUPS.get(by or "", ""))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize=8)
    return figure


def _p_text(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def trained_on(run: Run, by: str) -> str:
    """The group that the run was trained on; several joined by "+"; "(all)" if none was chosen."""
    for name in TRAINED_ON[by]:
        chosen = run.settings.get(f"conf.data.{name}")
        if chosen:
            return chosen if isinstance(chosen, str) else " + ".join(map(str, chosen))
    return "(all)"


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
        # of a run's own sets the one with most groups, of these the one with most rows
        by_width = sorted(run.all_evaluations(), key=lambda row: (-len(group_figures(row, by)), -row["n"]))
        name = data or (by_width[0]["dataset"] if by_width else None)
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


def transfer_table(matrices: Mapping) -> tuple[list[str], list[list[str]]]:
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


def draw_transfer(matrices: Mapping, by: str):
    """The figure: two matrices, accuracy and difference to the base; the group trained on is framed."""
    rows, columns = matrices["rows"], matrices["columns"]
    width = max(3.2 + 1.7 * len(columns), 7)
    figure, (left, right) = canvas(width, 1.9 + 0.45 * len(rows), columns=2, sharey=True)
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


def group_counts(folder: Path, split: str = "train", by: str = "modality") -> dict[str, int]:
    """{group: rows} of a prepared split, the largest first.

    Raises UserError where there is no such split or no row names a group.
    """
    from medical_rl.data.parquet import read_samples
    from medical_rl.data.prepare.card import read_card

    splits = read_card(folder).get("splits")
    if splits is None:
        raise UserError(
            f"{folder} is no prepared folder: it has no card.json. Give the folder that python -m "
            "data_preprocess.SET --source PATH --out DIR wrote (DIR), or a run's (runs/NAME)."
        )
    if split not in splits:
        raise unknown(f"split in {folder}", split, splits)
    path = folder / f"{split}.parquet"
    counts: Counter[str] = Counter()
    for sample in read_samples(path, with_images=False):
        counts[sample_groups(sample.meta).get(by, UNNAMED)] += 1
    if set(counts) == {UNNAMED}:
        raise UserError(f"No row of {path} names its {GROUPS[by]} (meta.{by}).")
    return dict(sorted(counts.items(), key=lambda item: (item[0] == UNNAMED, -item[1], item[0])))


def distribution_table(counts: Mapping[str, int]) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of `group_counts`."""
    total = sum(counts.values())
    body = [[name, f"{rows:,}", f"{rows / total:.1%}"] for name, rows in counts.items()]
    return ["Group", "Rows", "Share"], body


def draw_distribution(counts: Mapping[str, int], by: str):
    """The figure: a bar a group, with its share and its rows."""
    total = sum(counts.values())
    figure, axes = canvas(7, 1.0 + 0.38 * len(counts))
    for i, rows in enumerate(counts.values()):
        axes.barh(i, rows / total, color=COLOURS[0], height=0.7)
        axes.text(rows / total + 0.01, i, f"{rows / total:.1%} ({rows:,})", va="center", fontsize=8)
    axes.set_yticks(range(len(counts)), list(counts))
    axes.invert_yaxis()
    widest = min(1.0, max(counts.values()) / total * 1.25)
    axes.set(xlim=(0, widest), xlabel="share of rows", ylabel=GROUPS[by])
    return figure


def scaling_arms(runs: Sequence[Run], data: str | None = None) -> dict[str, list[dict]]:
    """{arm: [{"k", "mean", "sd", "runs", "n"}, ...]} by K; k is None where no fixed number is kept.

    Runs of the same arm and K (seeds) are averaged; sd is the sample's, 0 for one run. The last round of a
    run counts.
    Raises UserError where no run has a filter and results.
    """
    rows: dict[tuple[str, int | None], list[dict]] = {}
    for run in runs:
        by, k = run.settings.get("conf.loop.filter.by"), run.settings.get("conf.loop.filter.k")
        if by not in FILTERS:
            continue
        k = int(k) if by in COUNTED and k is not None else None
        for model, training in TRAININGS.items():
            row = run.last_evaluation(model, data)
            if row is not None:
                rows.setdefault((f"{FILTERS[by]} ({training})", k), []).append(row)
    if not rows:
        raise UserError(
            f"None of the {len(runs)} runs has results and conf.loop.filter.by ({', '.join(FILTERS)}): "
            "scaling compares runs of the closed loop."
        )
    arms: dict[str, list[dict]] = {}
    for arm, k in sorted(rows, key=lambda key: (key[0], key[1] or 0)):
        seeds = rows[arm, k]
        accuracies = [row["metrics"]["accuracy"] for row in seeds]
        point = {"k": k, "mean": statistics.fmean(accuracies), "runs": len(seeds), "n": seeds[0]["n"]}
        point["sd"] = statistics.stdev(accuracies) if len(seeds) > 1 else 0.0
        arms.setdefault(arm, []).append(point)
    return arms


def scaling_table(arms: Mapping[str, Sequence[Mapping]]) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of `scaling_arms`."""
    body = []
    for arm, points in arms.items():
        for point in points:
            k = "all" if point["k"] is None else str(point["k"])
            sd = f"{point['sd']:.3f}" if point["runs"] > 1 else DASH
            body.append([arm, k, str(point["runs"]), f"{point['mean']:.3f}", sd])
    return ["Arm", "K", "Runs", "Accuracy", "SD"], body


def draw_scaling(arms: Mapping[str, Sequence[Mapping]]):
    """The figure: a line an arm over K, bars of one standard deviation; level where an arm has no K."""
    figure, axes = canvas(7, 4)
    colours: dict[str, str] = {}  # one a way of keeping rows
    ticks = set()
    for arm, points in arms.items():
        colour = colours.setdefault(arm.split(" (")[0], COLOURS[len(colours)])
        line, level = ("s--", ":") if "GRPO" in arm else ("o-", "-.")
        counted = [point for point in points if point["k"] is not None]
        if counted:
            ks, means, sds = zip(*map(operator.itemgetter("k", "mean", "sd"), counted), strict=True)
            ticks.update(ks)
            axes.errorbar(ks, means, sds, fmt=line, color=colour, capsize=3, label=arm)
        for point in points:
            if point["k"] is None:
                axes.axhline(point["mean"], color=colour, linestyle=level, label=arm)
    axes.set(xlabel="generated rows kept (K)", ylabel="accuracy")
    if ticks:
        axes.set_xticks(sorted(ticks))
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return figure
