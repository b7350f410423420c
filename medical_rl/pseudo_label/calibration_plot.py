"""A calibration as a picture: the risk of every k beside alpha, and its p-value beside what it must not exceed."""

from __future__ import annotations

from pathlib import Path

from medical_rl.evaluation.metrics import interval
from medical_rl.evaluation.plot import COLOURS, PHANTOM, canvas, save
from medical_rl.pseudo_label.calibration import Calibration
from medical_rl.pseudo_label.calibration_table import notes, title

SMALLEST = 1e-12  # a p-value below is drawn here


def draw(found: Calibration):
    """The figure: FR(k) with its 95 % Wilson interval and alpha on the left, p(k) and its threshold on the right; kept k are filled."""
    figure, (risks, ps) = canvas(9, 3.6, columns=2)
    rows = sorted(found.candidates, key=lambda one: one.k)
    for place, one in enumerate(rows):
        low, high = interval(one.errors, one.n)
        colour = COLOURS[0] if one.kept else COLOURS[1]
        style = {"fmt": "o", "color": colour, "markerfacecolor": colour if one.kept else "white", "markersize": 7}
        risks.errorbar(place, one.risk, [[max(0.0, one.risk - low)], [max(0.0, high - one.risk)]], capsize=3, **style)
        ps.errorbar(place, max(one.p, SMALLEST), alpha=1.0 if one.tested else 0.4, **style)
    risks.axhline(found.alpha, color="black", linestyle="--", linewidth=1, label=f"alpha = {found.alpha:g}")
    if found.majority_rate is not None:
        always = 1 - found.majority_rate
        label = f"always the most frequent answer: {always:.3f}"
        risks.axhline(always, color=COLOURS[7], linestyle=":", linewidth=1, label=label)
    threshold = rows[0].threshold
    label = f"kept at or below {threshold:.3g}"
    ps.axhline(threshold, color="black", linestyle="--", linewidth=1, label=label)
    ps.set_yscale("log")
    ps.set_ylim(max(SMALLEST, min(threshold, *(one.p for one in rows))) / 3, 3)
    risks.set_ylim(bottom=0)
    for axes, what in ((risks, f"FR(k), n = {rows[0].n}"), (ps, "p(k)")):
        axes.set(xlabel="k, retrieved reports", ylabel=what, xlim=(-0.5, len(rows) - 0.5))
        axes.set_xticks(range(len(rows)), [f"{one.k}{' *' if one.k == found.chosen else ''}" for one in rows])
        axes.grid(axis="y", alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    return figure


def write_plot(found: Calibration, out: Path | str, phantom: bool = False) -> Path:
    """`out`, the picture with what it says in words; written whole. UserError for a name that ends neither in .png nor in .html."""
    marks = (
        "Filled blue: kept. Hollow orange: not kept (pale: not tested). *: chosen. Bars: 95 % Wilson intervals. "
        f"p below {SMALLEST:g} is drawn there."
    )
    return save(draw(found), Path(out), title(found), [*([PHANTOM] if phantom else []), *notes(found), marks])
