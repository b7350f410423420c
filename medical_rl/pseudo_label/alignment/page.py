"""An alignment's report for people, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from medical_rl.pseudo_label.alignment.pairs import CELLS

DISCLAIMER = "Not for clinical use."
ARMS = {
    "before": "before (the reference)",
    "after": "after preference tuning",
    "control": "control: SFT on the chosen alone",
}
SHOWN = {
    "margin": "margin to the reference, nats (pairs)",
    "pair_accuracy": "pair accuracy (pairs)",
    "prefers_gold": "gold likelier than rejected (pairs)",
    "chosen_logprob": "chosen log-probability, nats an answer (pairs)",
    "gold_logprob": "gold log-probability, nats an answer (all rows)",
    "well_formed": "well-formed (all rows)",
    "accuracy": "greedy accuracy (all rows)",
    "pairs_right": "greedy accuracy (pairs)",
}
KEPT = {
    "aligned": "The aligned labeller is used.",
    "reference": "**The labeller is used as it was before: the aligned one is not trusted.**",
}


def page(report: Mapping, phantom: bool = False) -> str:
    """The report of alignment.py as text: the pairs, the verdict, one column a model."""
    found, counts = report["figures"], report["counts"]
    arms = [name for name in ARMS if name in found["arms"]]
    lines = ["# Preference alignment of the labeller", ""]
    lines += ["Measured on phantom images drawn by code, not on medical images.", ""] if phantom else []
    cells = ", ".join(f"{name.replace('_', '/')} {counts[name]}" for name in CELLS)
    answers = ", ".join(f"{answer} {n}" for answer, n in counts["train_answers"].items())
    lines += [
        f"Gold rows by the labeller's answer without/with retrieved reports: {cells}; not asked {counts['not_asked']}.",
        f"Pairs are the right/wrong rows: {counts['train_pairs']} trained on (gold answers: {answers}), {counts['held_out_pairs']} held "
        f"out; {counts['unreadable']} had no readable answer. Measured on the {found['n_rows']} rows of held-out studies.",
        "",
        f"Verdict: **{report['verdict']}**{''.join('; ' + reason for reason in report['reasons'])}. {KEPT[report['kept']]}",
        f"{report['changed']:.2%} of the adapted weights differ from the labeller's in the saved format.",
        "",
        "| | " + " | ".join(ARMS[name] for name in arms) + " |",
        "|---" * (len(arms) + 1) + "|",
    ]
    for figure, says in SHOWN.items():
        lines.append(f"| {says} | " + " | ".join(_cell(found["arms"][name][figure]) for name in arms) + " |")
    lines += [
        "",
        "In brackets 95 % intervals: Wilson's for shares, else a bootstrap over studies; after a comma the change, paired by row. The pairs were chosen for being answered "
        "wrongly before, so their greedy accuracy begins at 0 and any change raises it; what is judged is all rows. The control "
        "had the same steps on the same chosen answers: what it gains too is not owed to preferences.",
        "",
        DISCLAIMER,
        "",
    ]
    return "\n".join(lines)


def _cell(figure: Mapping | None) -> str:
    """Value, interval and rows; the change since before, with its interval, where there is one."""
    if figure is None:
        return "–"
    told = f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}] (n = {figure['n']})"
    if not (figure["change"] or figure["change_low"] or figure["change_high"]):
        return told
    return f"{told}, {figure['change']:+.3f} [{figure['change_low']:+.3f}, {figure['change_high']:+.3f}]"
