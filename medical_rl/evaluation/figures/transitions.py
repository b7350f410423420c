"""What became of each question between two models (MedGR2, figure 5), by group.

McNemar's exact test says whether more were corrected than broken.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from medical_rl.errors import UserError
from medical_rl.evaluation.figures.plot import canvas
from medical_rl.evaluation.groups import GROUPS, records_by_group
from medical_rl.evaluation.metrics import Record, is_correct

CORRECTED, BROKEN = "wrong → correct", "correct → wrong"
# Flow -> colours of its bar and of the count in it, in the order in which a bar shows them.
FLOWS = {
    "correct → correct": ("#007A59", "white"),
    CORRECTED: ("#0072B2", "white"),
    BROKEN: ("#F0A818", "black"),
    "wrong → wrong": ("#B3202A", "white"),
}
VERDICTS = ("wrong", "correct")
ALL = "all rows"
NOTE = (
    "p: McNemar's exact test of wrong → correct against correct → wrong, two-sided, not corrected for the "
    "number of bars. It takes the questions as independent."
)


def transition_counts(
    before: Sequence[Record], after: Sequence[Record], by: str | None = "modality"
) -> dict[str, dict]:
    """{"all rows" and each group: {flow: rows, "n": rows, "p": McNemar's exact p}}.

    Raises UserError where the two models did not answer the same rows.

    >>> before = [{"id": "1", "pred": "a", "correct": 1}, {"id": "2", "pred": "a", "correct": 0}]
    >>> after = [{"id": "1", "pred": "a", "correct": 1}, {"id": "2", "pred": "b", "correct": 1}]
    >>> transition_counts(before, after)["all rows"]["wrong → correct"]
    1
    """
    was_correct = {row["id"]: is_correct(row) for row in before}
    unshared = sorted(set(was_correct) ^ {row["id"] for row in after})
    if unshared or len(was_correct) != len(after):
        raise UserError(
            f"The two models answered other rows: {len(unshared)} rows are in one only, "
            f"such as {unshared[:1]}. Evaluate both again."
        )
    groups = {ALL: after}
    if by:
        groups |= records_by_group(after, by)
    counts = {}
    for name, rows in groups.items():
        flows: Counter[str] = Counter()
        for row in rows:
            flows[f"{VERDICTS[was_correct[row['id']]]} → {VERDICTS[is_correct(row)]}"] += 1
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


def table(counts: Mapping[str, Mapping]) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of `transition_counts`."""
    body = []
    for group, row in counts.items():
        flows = [str(row[flow]) for flow in FLOWS]
        body.append([group, str(row["n"])] + flows + [_p_text(row["p"])])
    return ["Group", "n"] + list(FLOWS) + ["p"], body


def draw(counts: Mapping[str, Mapping], before: str, after: str, by: str | None):
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
