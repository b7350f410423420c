"""A calibration as a table for the terminal, as Markdown and as a dict for JSON."""

from __future__ import annotations

from dataclasses import asdict

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from medical_rl.evaluation import markdown as md
from medical_rl.evaluation.metrics import interval
from medical_rl.evaluation.plot import PHANTOM
from medical_rl.evaluation.wording import DISCLAIMER
from medical_rl.pseudo_label.calibration import Calibration, Candidate

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
        "candidates": [asdict(one) | {"interval": list(interval(one.errors, one.n))} for one in found.candidates],
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
        said.append(f"Always giving the most frequent gold answer would have a risk of {trivial:.3f} on them{passes}.")
    return said


def _cells(one: Candidate) -> list[str]:
    low, high = interval(one.errors, one.n)
    kept = "yes" if one.kept else "no" if one.tested else "not tested"
    risk = f"{one.risk:.3f} [{low:.3f}, {high:.3f}]"
    ps = (f"{p:.3g}" for p in (one.p1, one.p2, one.p, one.threshold))
    return [str(one.k), str(one.n), str(one.errors), risk, *ps, kept]
