"""What became of each question between two models (MedGR2, figure 5): kept, corrected, broken, missed, group by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medical_rl.errors import UserError
from medical_rl.evaluation.figures.plot import canvas
from medical_rl.evaluation.groups import GROUPS, divided
from medical_rl.evaluation.metrics import Record

# (right before, right after) -> name and colour, in the order in which a bar shows them.
FLOWS = {
    (True, True): ("correct → correct", "#007A59"),
    (False, True): ("wrong → correct", "#0072B2"),
    (True, False): ("correct → wrong", "#F0A818"),
    (False, False): ("wrong → wrong", "#B3202A"),
}
ALL = "all rows"
NOTE = (
    "p: McNemar's exact test of wrong → correct against correct → wrong, two-sided, not corrected for the number of bars. "
    "It takes the questions as independent."
)


def transitions(
    before: Sequence[Record], after: Sequence[Record], by: str | None = "modality"
) -> dict[str, dict]:
    """{"all rows" and each group: {flow's name: rows, "n": rows, "p": McNemar's exact p}} of two models on the same rows.

    UserError where the rows are not the same.

    >>> before, after = ([{"id": str(i), "pred": "a", "correct": c} for i, c in enumerate(said)] for said in ((1, 0, 0), (1, 1, 0)))
    >>> transitions(before, after)["all rows"]["wrong → correct"]
    1
    """
    was = {row["id"]: _right(row) for row in before}
    if len(was) != len(after) or set(was) != {row["id"] for row in after}:
        only = sorted(set(was) ^ {row["id"] for row in after})
        raise UserError(
            f"The two models answered other rows: {len(only)} rows are in one only, such as {only[:1]}. Evaluate both again."
        )
    groups = {ALL: list(after), **(divided(after, by) if by else {})}
    return {name: _counted(rows, was) for name, rows in groups.items()}


def mcnemar(corrected: int, broken: int) -> float:
    """The exact two-sided p of as uneven a split of the rows whose verdict changed, were both changes equally likely.

    >>> round(mcnemar(8, 2), 4), mcnemar(0, 0)
    (0.1094, 1.0)
    """
    from scipy.stats import binomtest

    changed = corrected + broken
    return float(binomtest(corrected, changed, 0.5).pvalue) if changed else 1.0


def table(found: Mapping[str, Mapping]) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of `transitions`."""
    names = [name for name, _ in FLOWS.values()]
    rows = [
        [group, str(of["n"]), *(str(of[name]) for name in names), _p(of["p"])] for group, of in found.items()
    ]
    return ["Group", "n", *names, "p"], rows


def draw(found: Mapping[str, Mapping], before: str, after: str, by: str | None):
    """The figure: a stacked bar of shares for each group, with counts, n and p."""
    figure, axes = canvas(8.5, 1.3 + 0.45 * len(found))
    names = list(found)
    for i, group in enumerate(names):
        left = 0.0
        for (was, now), (name, colour) in FLOWS.items():
            share = found[group][name] / found[group]["n"]
            axes.barh(i, share, left=left, color=colour, height=0.7, label=name if i == 0 else None)
            if share > 0.03:
                place = {
                    "ha": "center",
                    "va": "center",
                    "fontsize": 8,
                    "color": "black" if was and not now else "white",
                }
                axes.text(left + share / 2, i, str(found[group][name]), **place)
            left += share
        axes.text(1.01, i, f"n {found[group]['n']}, p {_p(found[group]['p'])}", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel=f"share of questions ({before} → {after})", ylabel=GROUPS.get(by or "", ""))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize=8)
    return figure


def _counted(rows: Sequence[Record], was: Mapping[str, bool]) -> dict:
    found = {name: 0 for name, _ in FLOWS.values()}
    for row in rows:
        found[FLOWS[was[row["id"]], _right(row)][0]] += 1
    p = mcnemar(found[FLOWS[False, True][0]], found[FLOWS[True, False][0]])
    return {**found, "n": len(rows), "p": p}


def _right(row: Record) -> bool:
    return bool(row["correct"]) and row["pred"] is not None


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"
