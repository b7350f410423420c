"""Accuracy by the number of generated rows kept (MedGR2, figure 2): the best K, random K, all of them, with and without GRPO."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from medical_rl.errors import UserError
from medical_rl.evaluation.figures.plot import COLOURS, canvas
from medical_rl.evaluation.runs import Run

BY, K = "conf.loop.filter.by", "conf.loop.filter.k"
# How rows were kept -> name in the figure; those of `COUNTED` keep K rows, the others as many as there are.
FILTERS = {
    "top_k": "TopK",
    "random_k": "RandK",
    "tau": "threshold",
    "quantile": "quantile",
    "none": "unfiltered",
}
COUNTED = ("top_k", "random_k")
MODELS = {"warm_start": "SFT", "rl": "SFT + GRPO"}


def scaling(runs: Sequence[Run], data: str | None = None) -> dict[str, list[dict]]:
    """{arm: [{"k", "mean", "sd", "runs", "n"}, ...]} by K; k is None for an arm that keeps no fixed number.

    Runs of the same arm and K (seeds) are averaged; sd is the sample's, 0 for one run. The last round of a run counts.
    UserError where no run has a filter and results.
    """
    found: dict[tuple[str, int | None], list[tuple[float, int]]] = {}
    for run in runs:
        by = run.settings.get(BY)
        for model, what in MODELS.items() if by in FILTERS else ():
            rows = [
                row for row in run.evaluations(data) if row["model"] == model and "accuracy" in row["metrics"]
            ]
            if rows:
                last = max(rows, key=lambda row: row.get("round") or 0)
                k = int(run.settings[K]) if by in COUNTED and run.settings.get(K) is not None else None
                found.setdefault((f"{FILTERS[by]} ({what})", k), []).append(
                    (last["metrics"]["accuracy"], last["n"])
                )
    if not found:
        raise UserError(
            f"None of the {len(runs)} runs has results and {BY} ({', '.join(FILTERS)}): scaling compares runs of the closed loop."
        )
    arms: dict[str, list[dict]] = {}
    for (arm, k), values in sorted(found.items(), key=lambda item: (item[0][0], item[0][1] or 0)):
        accuracy = [value for value, _ in values]
        spread = statistics.stdev(accuracy) if len(accuracy) > 1 else 0.0
        point = {
            "k": k,
            "mean": statistics.fmean(accuracy),
            "sd": spread,
            "runs": len(values),
            "n": values[0][1],
        }
        arms.setdefault(arm, []).append(point)
    return arms


def table(found: Mapping[str, Sequence[Mapping]]) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of `scaling`."""
    body = [
        [
            arm,
            "all" if p["k"] is None else str(p["k"]),
            str(p["runs"]),
            f"{p['mean']:.3f}",
            f"{p['sd']:.3f}" if p["runs"] > 1 else "–",
        ]
        for arm, points in found.items()
        for p in points
    ]
    return ["Arm", "K", "Runs", "Accuracy", "SD"], body


def draw(found: Mapping[str, Sequence[Mapping]]):
    """The figure: a line an arm over K with bars of one standard deviation; a level line for an arm without K."""
    figure, axes = canvas(7, 4)
    kept = list(dict.fromkeys(arm.split(" (")[0] for arm in found))  # one colour a way of keeping rows
    for arm, points in found.items():
        colour = COLOURS[kept.index(arm.split(" (")[0])]
        level = [p for p in points if p["k"] is None]
        along = [p for p in points if p["k"] is not None]
        if along:
            style = "s--" if "GRPO" in arm else "o-"
            columns = ([p[key] for p in along] for key in ("k", "mean", "sd"))
            axes.errorbar(*columns, fmt=style, color=colour, capsize=3, label=arm)
        for p in level:
            axes.axhline(p["mean"], color=colour, linestyle=":" if "GRPO" in arm else "-.", label=arm)
    axes.set(xlabel="generated rows kept (K)", ylabel="accuracy")
    if ks := sorted({p["k"] for points in found.values() for p in points if p["k"] is not None}):
        axes.set_xticks(ks)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return figure
