"""A calibration for people: a Markdown page with its tables, and a picture of the scores by kind of text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medical_rl.data.parquet import replacing
from medical_rl.reward_model.calibration import BINS
from medical_rl.reward_model.graded import HIGH, LOW

DISCLAIMER = "Not for clinical use."


def write_report(figures: Mapping, place: Path, title: str, phantom: bool = False) -> None:
    """None; `place`.md and `place`.png of the figures that `calibrate` gave."""
    with replacing(place.with_suffix(".md")) as scratch:
        scratch.write_text(markdown(figures, title, phantom), encoding="utf-8")
    with replacing(place.with_suffix(".png")) as scratch:
        picture(figures, scratch, title, phantom)


def markdown(figures: Mapping, title: str, phantom: bool = False) -> str:
    """The figures as text: what they are, a table of the kinds of text, a table of the probes."""
    swapped, drift = figures["swapped"], figures["drift"]
    lines = [f"# Calibration of R_phi: {title}", ""]
    lines += ["Measured on phantom images drawn by code, not on medical images.", ""] if phantom else []
    lines += [
        f"Held-out responses: {figures['rows']}. Spearman with their grades: {_shown(figures['spearman'])}; mean absolute error: {_shown(figures['mae'], 2)} grades."
    ]
    if figures.get("grey_spearman") is not None:
        lines += [f"With every image grey: {_shown(figures['grey_spearman'])}."]
    if swapped:
        lines += [
            f"Texts of grade 10 with the image of another row: from {swapped['before']:.2f} to {swapped['after']:.2f}, a fall of "
            f"{swapped['drop']:.2f} [{swapped['low']:.2f}, {swapped['high']:.2f}] grades (n = {swapped['n']}, paired, 95 % bootstrap)."
        ]
    if drift:
        lines += [
            f"Against the round before, same responses: shift {drift['shift']:+.2f} grades, rank correlation {_shown(drift['spearman'])}."
        ]
    lines += [
        "",
        "| kind of text | n | grade | mean score | sd | lowest | highest |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, kind in figures["kinds"].items():
        lines.append(
            f"| {name} | {kind['n']} | {kind['grade']:.1f} | {kind['mean']:.2f} | {kind['std']:.2f} | {kind['min']:.2f} | {kind['max']:.2f} |"
        )
    lines += [
        "",
        "Probes come from outside the training texts. The gap is the mean of true texts minus the probe's; a small gap is what a policy could exploit.",
        "",
    ]
    lines += ["| probe | n | gap in grades | share that passes for true |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {gap['n']} | {gap['gap']:.2f} | {gap['share_above']:.2f} |"
        for name, gap in figures["probe_gaps"].items()
    ]
    return "\n".join([*lines, "", DISCLAIMER, ""])


def picture(figures: Mapping, path: Path, title: str, phantom: bool = False) -> None:
    """None; a PNG with one histogram a kind of text, the grade it deserves marked."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    kinds = figures["kinds"]
    edges = np.linspace(LOW - 2, HIGH + 2, BINS + 1)
    figure, rows = plt.subplots(
        len(kinds), 1, figsize=(7, 0.9 * len(kinds) + 1.2), sharex=True, squeeze=False
    )
    for axis, (name, kind) in zip(rows[:, 0], kinds.items(), strict=True):
        axis.stairs(kind["histogram"], edges, fill=True, color="tab:blue")
        axis.axvline(kind["grade"], color="tab:red", linestyle="--", linewidth=1)
        axis.set_ylabel(f"{name}\nn={kind['n']}", rotation=0, ha="right", va="center", fontsize=8)
        axis.set_yticks([])
    rows[-1, 0].set_xlabel("score of R_phi (dashed: the grade deserved)")
    figure.suptitle(f"R_phi, {title}{' (phantoms)' if phantom else ''}. {DISCLAIMER}", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=120, format="png")
    plt.close(figure)


def _shown(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
