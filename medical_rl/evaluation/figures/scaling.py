"""Accuracy by the number of generated rows kept (MedGR2, figure 2): the best K, random K, all."""

import operator
import statistics
from collections.abc import Mapping, Sequence

from medical_rl.errors import UserError
from medical_rl.evaluation.figures.plot import COLOURS, canvas
from medical_rl.evaluation.runs import Run
from medical_rl.run.markdown import DASH

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


def scaling_arms(runs: Sequence[Run], data: str | None = None) -> dict[str, list[dict]]:
    """{arm: [{"k", "mean", "sd", "runs", "n"}, ...]} by K; k is None where no fixed number is kept.

    Runs of the same arm and K (seeds) are averaged; sd is the sample's, 0 for one run. The last round of a
    run counts.
    Raises UserError where no run has a filter and results.
    """
    rows: dict[tuple[str, int | None], list[dict]] = {}
    for run in runs:
        by, k = run.settings.get(BY), run.settings.get(K)
        if by not in FILTERS:
            continue
        k = int(k) if by in COUNTED and k is not None else None
        for model, training in MODELS.items():
            row = run.last_evaluation(model, data)
            if row is not None:
                rows.setdefault((f"{FILTERS[by]} ({training})", k), []).append(row)
    if not rows:
        raise UserError(
            f"None of the {len(runs)} runs has results and {BY} ({', '.join(FILTERS)}): "
            "scaling compares runs of the closed loop."
        )
    arms: dict[str, list[dict]] = {}
    for arm, k in sorted(rows, key=lambda key: (key[0], key[1] or 0)):
        seeds = rows[arm, k]
        accuracies = [row["metrics"]["accuracy"] for row in seeds]
        sd = statistics.stdev(accuracies) if len(seeds) > 1 else 0.0
        point = {
            "k": k,
            "mean": statistics.fmean(accuracies),
            "sd": sd,
            "runs": len(seeds),
            "n": seeds[0]["n"],
        }
        arms.setdefault(arm, []).append(point)
    return arms


def table(arms: Mapping[str, Sequence[Mapping]]) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of `scaling_arms`."""
    body = []
    for arm, points in arms.items():
        for point in points:
            k = "all" if point["k"] is None else str(point["k"])
            sd = f"{point['sd']:.3f}" if point["runs"] > 1 else DASH
            body.append([arm, k, str(point["runs"]), f"{point['mean']:.3f}", sd])
    return ["Arm", "K", "Runs", "Accuracy", "SD"], body


def draw(arms: Mapping[str, Sequence[Mapping]]):
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
