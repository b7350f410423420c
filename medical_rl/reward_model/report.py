"""A calibration for people: a Markdown page, and a picture of the scores by kind of text."""

from collections.abc import Mapping
from pathlib import Path

import jinja2

from medical_rl.reward_model.calibration import BINS
from medical_rl.reward_model.graded import HIGH, LOW
from medical_rl.run.files import replacing, write_text

TEMPLATE = Path(__file__).with_name("report.md.jinja")
DISCLAIMER = "Not for clinical use."


def write_report(figures: Mapping, path: Path, title: str, phantom: bool = False) -> None:
    """Write `path`.md and `path`.png of the figures that `calibrate` gave."""
    write_text(path.with_suffix(".md"), markdown(figures, title, phantom))
    with replacing(path.with_suffix(".png")) as scratch:
        draw_histograms(figures, scratch, title, phantom)


def markdown(figures: Mapping, title: str, phantom: bool = False) -> str:
    """The figures as text: what they are, a table of the kinds of text, a table of the probes."""
    template = jinja2.Template(
        TEMPLATE.read_text(encoding="utf-8"), trim_blocks=True, keep_trailing_newline=True
    )
    return template.render(figures, title=title, phantom=phantom, disclaimer=DISCLAIMER)


def draw_histograms(figures: Mapping, path: Path, title: str, phantom: bool = False) -> None:
    """Write a PNG with one histogram a kind of text, the grade it deserves marked."""
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
