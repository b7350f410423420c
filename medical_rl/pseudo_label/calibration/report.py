"""A calibration as a table for the terminal, as Markdown and as a dict for JSON.

A calibration as a picture: the risk of every k beside alpha, and its p-value beside what it must not exceed.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from medical_rl.evaluation import markdown as md
from medical_rl.evaluation.figures.plot import COLOURS, PHANTOM, canvas, save
from medical_rl.evaluation.metrics import interval
from medical_rl.evaluation.wording import DISCLAIMER
from medical_rl.pseudo_label.calibration.calibrate import Calibration, Candidate

HEADER = ("k", "n", "Wrong", "FR [95 % CI]", "p1 (Hoeffding)", "p2 (Bentkus)", "p", "Needs p <=", "Kept")
ALIKE = ("n", "Needs p <=")  # the same in every row; the terminal has no room for them beside the others
LEGEND = (
    "FR: share of wrong answers with the top k reports, an abstention counting as wrong; its interval is Wilson's. "
    "p1: Hoeffding's bound, p2: Bentkus's, p = min(1, p1, p2)."
)


def as_dict(found: Calibration) -> dict:
    """The outcome for JSON: its fields as they are, `candidates` a list of dicts in the order of testing."""
    return {
        **asdict(found),
        "candidates": [
            asdict(one) | {"interval": list(interval(one.errors, one.n))} for one in found.candidates
        ],
        "kept": list(found.kept),
    }


def table(found: Calibration) -> Table:
    """One row a candidate in the order of testing, the chosen k marked *; at most 80 columns wide."""
    made = Table(
        title=Text(title(found)), caption=Text("\n".join([*notes(found), LEGEND])), title_justify="left",
        caption_justify="left", box=SIMPLE_HEAD, padding=0, collapse_padding=True, show_edge=False,
    )  # fmt: skip
    shown = [i for i, name in enumerate(HEADER) if name not in ALIKE]
    for i in shown:
        made.add_column(HEADER[i].replace(" [", "\n[").replace(" (", "\n("), justify="right", no_wrap=True)
    for one in found.candidates:
        k, *cells = [_cells(one)[i] for i in shown]
        made.add_row(Text(k + ("*" if one.k == found.chosen else "")), *map(Text, cells))
    return made


def markdown(found: Calibration, phantom: bool = False) -> str:
    """The outcome as a page: what was asked, the table, what can be said."""
    body = [_cells(one) for one in found.candidates]
    parts = [f"# {title(found)}", *([PHANTOM] if phantom else []), md.table(list(HEADER), body)]
    return "\n\n".join([*parts, *notes(found), LEGEND, DISCLAIMER]) + "\n"


def title(found: Calibration) -> str:
    """The heading: n, alpha, delta and method with the p-value that it needs."""
    one = found.candidates[0]
    asked = f"alpha {found.alpha:g}, delta {found.delta:g}, {found.method} (p <= {one.threshold:.3g})"
    return f"Factuality risk by k: n {one.n}, {asked}"


def notes(found: Calibration) -> list[str]:
    """Sentences that belong beside the figures: what is guaranteed, what is chosen, what always saying one answer gives."""
    chosen = "none" if found.chosen is None else f"k = {found.chosen}"
    said = [f"Chosen: {chosen}; guarantee: {'yes' if found.guarantee else 'no'}.", found.sentence]
    if found.majority_rate is not None:
        trivial = 1 - found.majority_rate
        passes = ", which is no more than alpha: passing says little here" if trivial <= found.alpha else ""
        said.append(
            f"Always giving the most frequent gold answer would have a risk of {trivial:.3f} on them{passes}."
        )
    return said


def _cells(one: Candidate) -> list[str]:
    low, high = interval(one.errors, one.n)
    kept = "yes" if one.kept else "no" if one.tested else "not tested"
    risk = f"{one.risk:.3f} [{low:.3f}, {high:.3f}]"
    ps = (f"{p:.3g}" for p in (one.p1, one.p2, one.p, one.threshold))
    return [str(one.k), str(one.n), str(one.errors), risk, *ps, kept]


SMALLEST = 1e-12  # a p-value below is drawn here


def draw(found: Calibration):
    """The figure: FR(k) with its 95 % Wilson interval and alpha on the left, p(k) and its threshold on the right; kept k are filled."""
    figure, (risks, ps) = canvas(9, 3.6, columns=2)
    rows = sorted(found.candidates, key=lambda one: one.k)
    for place, one in enumerate(rows):
        low, high = interval(one.errors, one.n)
        colour = COLOURS[0] if one.kept else COLOURS[1]
        style = {
            "fmt": "o",
            "color": colour,
            "markerfacecolor": colour if one.kept else "white",
            "markersize": 7,
        }
        risks.errorbar(
            place, one.risk, [[max(0.0, one.risk - low)], [max(0.0, high - one.risk)]], capsize=3, **style
        )
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
