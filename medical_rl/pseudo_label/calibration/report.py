"""A calibration as a table for the terminal, a Markdown page, a dict for JSON and a picture.

The picture has the risk of every k beside alpha, and its p-value beside what it must not exceed.
"""

from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from medical_rl.evaluation.figures.plot import COLOURS, canvas, save_figure
from medical_rl.evaluation.metrics import wilson_interval
from medical_rl.evaluation.wording import DISCLAIMER, PHANTOM_NOTE
from medical_rl.pseudo_label.calibration.calibrate import Calibration
from medical_rl.pseudo_label.calibration.learn_then_test import Candidate
from medical_rl.run.markdown import markdown_table

HEADER = ("k", "n", "Wrong", "FR [95 % CI]", "p1 (Hoeffding)", "p2 (Bentkus)", "p", "Needs p <=", "Kept")
ALIKE = ("n", "Needs p <=")  # the same in every row; the terminal has no room for them beside the others
LEGEND = (
    "FR: share of wrong answers with the top k reports, an abstention counting as wrong; its interval is "
    "Wilson's. p1: Hoeffding's bound, p2: Bentkus's, p = min(1, p1, p2)."
)
SMALLEST = 1e-12  # a p-value below is drawn here
MARKS = (
    "Filled blue: kept. Hollow orange: not kept (pale: not tested). *: chosen. Bars: 95 % Wilson intervals. "
    f"p below {SMALLEST:g} is drawn there."
)


def calibration_record(outcome: Calibration) -> dict:
    """The outcome for JSON: its fields as they are, `candidates` a list of dicts in the order of testing."""
    record = asdict(outcome)
    record["candidates"] = list(record["candidates"])
    for one in record["candidates"]:
        one["interval"] = list(wilson_interval(one["errors"], one["n"]))
    record["kept"] = list(outcome.kept)
    return record


def terminal_table(outcome: Calibration) -> Table:
    """One row a candidate in the order of testing, the chosen k marked *; at most 80 columns wide."""
    caption = "\n".join([*notes(outcome), LEGEND])
    table = Table(
        title=Text(title(outcome)), caption=Text(caption), title_justify="left", caption_justify="left",
        box=SIMPLE_HEAD, padding=0, collapse_padding=True, show_edge=False,
    )  # fmt: skip
    shown = [name for name in HEADER if name not in ALIKE]
    for name in shown:
        table.add_column(name.replace(" [", "\n[").replace(" (", "\n("), justify="right", no_wrap=True)
    for one in outcome.candidates:
        cells = dict(zip(HEADER, _cells(one), strict=True))
        if one.k == outcome.chosen:
            cells["k"] += "*"
        table.add_row(*(Text(cells[name]) for name in shown))
    return table


def page(outcome: Calibration, phantom: bool = False) -> str:
    """The outcome as a Markdown page: what was asked, the table, what can be said."""
    paragraphs = [f"# {title(outcome)}"]
    if phantom:
        paragraphs.append(PHANTOM_NOTE)
    paragraphs.append(markdown_table(list(HEADER), list(map(_cells, outcome.candidates))))
    paragraphs += notes(outcome)
    return "\n\n".join(paragraphs + [LEGEND, DISCLAIMER]) + "\n"


def title(outcome: Calibration) -> str:
    """The heading: n, alpha, delta and method with the p-value that it needs."""
    first = outcome.candidates[0]
    test = f"alpha {outcome.alpha:g}, delta {outcome.delta:g}, {outcome.method} (p <= {first.threshold:.3g})"
    return f"Factuality risk by k: n {first.n}, {test}"


def notes(outcome: Calibration) -> list[str]:
    """What is guaranteed, what is chosen, and what always saying one answer gives, as sentences."""
    chosen = "none" if outcome.chosen is None else f"k = {outcome.chosen}"
    guarantee = "yes" if outcome.guarantee else "no"
    sentences = [f"Chosen: {chosen}; guarantee: {guarantee}.", outcome.sentence]
    if outcome.majority_rate is not None:
        trivial = 1 - outcome.majority_rate
        passes = ", which is no more than alpha: passing says little here" if trivial <= outcome.alpha else ""
        sentences.append(
            f"Always giving the most frequent gold answer would have a risk of {trivial:.3f} on them{passes}."
        )
    return sentences


def _cells(one: Candidate) -> list[str]:
    low, high = wilson_interval(one.errors, one.n)
    kept = "not tested"
    if one.tested:
        kept = "yes" if one.kept else "no"
    return [
        str(one.k), str(one.n), str(one.errors), f"{one.risk:.3f} [{low:.3f}, {high:.3f}]", f"{one.p1:.3g}",
        f"{one.p2:.3g}", f"{one.p:.3g}", f"{one.threshold:.3g}", kept,
    ]  # fmt: skip


def draw(outcome: Calibration):
    """FR(k) with its 95 % Wilson interval and alpha on the left, p(k) and its threshold on the right.

    The kept k are filled.
    """
    figure, (risks, ps) = canvas(9, 3.6, columns=2)
    rows = sorted(outcome.candidates, key=lambda one: one.k)
    ticks = []
    for x, one in enumerate(rows):
        low, high = wilson_interval(one.errors, one.n)
        colour = COLOURS[0] if one.kept else COLOURS[1]
        style = {"fmt": "o", "color": colour, "markersize": 7}
        style["markerfacecolor"] = colour if one.kept else "white"
        error = [[max(0.0, one.risk - low)], [max(0.0, high - one.risk)]]
        risks.errorbar(x, one.risk, error, capsize=3, **style)
        ps.errorbar(x, max(one.p, SMALLEST), alpha=1.0 if one.tested else 0.4, **style)
        ticks.append(f"{one.k} *" if one.k == outcome.chosen else str(one.k))
    dashed = {"color": "black", "linestyle": "--", "linewidth": 1}
    risks.axhline(outcome.alpha, label=f"alpha = {outcome.alpha:g}", **dashed)
    if outcome.majority_rate is not None:
        always = 1 - outcome.majority_rate
        label = f"always the most frequent answer: {always:.3f}"
        risks.axhline(always, color=COLOURS[7], linestyle=":", linewidth=1, label=label)
    threshold = rows[0].threshold
    ps.axhline(threshold, label=f"kept at or below {threshold:.3g}", **dashed)
    ps.set_yscale("log")
    lowest = min(threshold, min(one.p for one in rows))
    ps.set_ylim(max(SMALLEST, lowest) / 3, 3)
    risks.set_ylim(bottom=0)
    for axes, ylabel in ((risks, f"FR(k), n = {rows[0].n}"), (ps, "p(k)")):
        axes.set(xlabel="k, retrieved reports", ylabel=ylabel, xlim=(-0.5, len(rows) - 0.5))
        axes.set_xticks(range(len(rows)), ticks)
        axes.grid(axis="y", alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    return figure


def write_plot(outcome: Calibration, out: Path | str, phantom: bool = False) -> Path:
    """Write the picture with what it says in words to `out`, whole or not at all.

    Raises UserError for a name that ends neither in .png nor in .html.
    """
    words = [PHANTOM_NOTE] if phantom else []
    return save_figure(draw(outcome), Path(out), title(outcome), words + notes(outcome) + [MARKS])
