"""What preference tuning did on held-out rows, beside a control, and whether it did harm.

A rising margin alone proves nothing: it also rises when the chosen answer becomes impossible and the rejected
one more so. And the held-out PAIRS were chosen for being answered wrongly before, so their accuracy can only
rise. What is judged is therefore the chosen answers' log-probability, and the form and accuracy of greedy
responses on ALL rows of the held-out studies.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from medical_rl.errors import UserError
from medical_rl.evaluation.metrics import wilson_interval
from medical_rl.evaluation.wording import DISCLAIMER
from medical_rl.parsing.response import parse
from medical_rl.pseudo_label.alignment.pairs import Preference, cells_clause
from medical_rl.rewards.terms.accuracy import accuracy
from medical_rl.rewards.terms.format import FORMS
from medical_rl.run.markdown import fill_template

RESAMPLES = 2000
BEFORE, AFTER, CONTROL = "before", "after", "control"
JUDGED = ("chosen_logprob", "gold_logprob", "well_formed", "accuracy")
TEMPLATE = Path(__file__).with_name("report.md.jinja")


def form_of(rows: Sequence[Preference]) -> str | None:
    """The form (rewards/terms/format.py) that every gold answer has; None where they share none.

    A response is well-formed if it has this form and its answer can be read; without a form, if its answer
    can be read.
    """
    golds = [parse(row.chosen) for row in rows]
    for name in ("tagged", "boxed"):
        if all(map(FORMS[name], golds)):
            return name
    return None


def figures(rows: Sequence[Preference], arms: Mapping[str, Sequence[Mapping]], seed: int = 0) -> dict:
    """{"form", "n_rows", "n_pairs", "arms": {name: `arm_figures`}} of lines that pair_scores.py wrote.

    arms  {"before": lines, "after": lines, ...}, each with a line a row, in the rows' order
    """
    ids = [row.id for row in rows]
    for name, lines in arms.items():
        if [line["id"] for line in lines] != ids:
            raise UserError(
                f"The scores of the model {name} are not of the {len(rows)} held-out rows, in their order."
            )
    form = form_of(rows)
    per_arm = {}
    for name, lines in arms.items():
        per_arm[name] = arm_figures(rows, lines, arms[BEFORE], form, seed)
    pairs = sum(row.rejected is not None for row in rows)
    return {"form": form, "n_rows": len(rows), "n_pairs": pairs, "arms": per_arm}


def arm_figures(
    rows: Sequence[Preference],
    lines: Sequence[Mapping],
    before: Sequence[Mapping],
    form: str | None,
    seed: int,
) -> dict:
    """{figure: {"n", "value", "low", "high", "change", "change_low", "change_high"}} of one model.

    Log-probabilities are in nats an answer. On the pairs: `margin`, log-probability of chosen less rejected,
    less the same before tuning (DPO's implicit reward without its beta); `pair_accuracy`, share of pairs with
    a margin above 0; `prefers_gold`, share whose chosen is the likelier; and `chosen_logprob`. On all rows:
    `gold_logprob`, `well_formed`, `accuracy`. Shares have Wilson's interval, means and all changes a seeded
    bootstrap's over studies, paired by row. What the reference cannot have (a margin to itself) is None.
    """
    now, was = _columns(rows, lines, form), _columns(rows, before, form)
    studies = np.array([row.study for row in rows])
    pairs = np.array([row.rejected is not None for row in rows], bool)
    difference = (now["gold_logprob"] - now["rejected"])[pairs]
    reference = (was["gold_logprob"] - was["rejected"])[pairs]
    margin = difference - reference
    arm = {}
    for name in ("gold_logprob", "well_formed", "accuracy"):
        arm[name] = _figure(now[name], was[name], studies, seed)
    studies = studies[pairs]
    arm["chosen_logprob"] = _figure(now["gold_logprob"][pairs], was["gold_logprob"][pairs], studies, seed)
    arm["prefers_gold"] = _figure(difference > 0, reference > 0, studies, seed)
    arm["pairs_right"] = _figure(now["accuracy"][pairs], was["accuracy"][pairs], studies, seed)
    is_reference = lines is before
    arm["margin"] = None if is_reference else _figure(margin, None, studies, seed)
    arm["pair_accuracy"] = None if is_reference else _figure(margin > 0, None, studies, seed)
    return arm


def _columns(rows: Sequence[Preference], lines: Sequence[Mapping], form: str | None) -> dict[str, np.ndarray]:
    """The columns gold_logprob, rejected (NaN where the row is no pair), well_formed and accuracy."""
    chosen, rejected, well_formed, right = [], [], [], []
    for row, line in zip(rows, lines, strict=True):
        response = parse(line["response"])
        chosen.append(line["chosen"])
        rejected.append(line["rejected"])
        well_formed.append(bool(response.answer) and (form is None or FORMS[form](response)))
        right.append(accuracy(response, row.sample) == 1.0)
    return {
        "gold_logprob": np.array(chosen, float),
        "rejected": np.array(rejected, float),  # None becomes NaN
        "well_formed": np.array(well_formed, bool),
        "accuracy": np.array(right, bool),
    }


def _figure(now: np.ndarray, was: np.ndarray | None, studies: np.ndarray, seed: int) -> dict:
    low, high = (
        wilson_interval(int(now.sum()), len(now)) if now.dtype == bool else bootstrap(now, studies, seed)
    )
    figure = {"n": len(now), "value": float(now.mean()), "low": low, "high": high}
    figure |= dict.fromkeys(("change", "change_low", "change_high"))
    if was is not None:
        change = now.astype(float) - was.astype(float)
        figure["change"] = float(change.mean())
        figure["change_low"], figure["change_high"] = bootstrap(change, studies, seed)
    return figure


def bootstrap(values: np.ndarray, studies: Sequence[str], seed: int) -> tuple[float, float]:
    """(low, high): the 95 % bootstrap interval of the mean over studies (rows of one are not independent)."""
    names, which = np.unique(np.asarray(studies), return_inverse=True)
    sums, counts = np.bincount(which, weights=values), np.bincount(which)
    draws = np.random.default_rng(seed).integers(len(names), size=(RESAMPLES, len(names)))
    low, high = np.quantile(sums[draws].sum(axis=1) / counts[draws].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def verdict(after: Mapping, max_fall: Mapping[str, float]) -> dict:
    """{"verdict", "reasons"}: collapsed, unmoved or aligned.

    Collapsed where a judged figure fell by more than `max_fall` allows; unmoved where the margin's interval
    holds 0, or is below it.

    max_fall  {"logprob": nats an answer, "well_formed": share, "accuracy": share}; the fall itself is
              compared, not its interval: a labeller whose harm cannot be told from noise is not worth the
              risk
    """
    reasons = []
    for name in JUDGED:
        fall = -after[name]["change"]
        allowed = max_fall["logprob" if name.endswith("logprob") else name]
        if fall > allowed:
            reasons.append(f"{name} fell by {fall:.3f} (allowed: {allowed:g})")
    if reasons:
        return {"verdict": "collapsed", "reasons": reasons}
    margin = after["margin"]
    if margin["low"] <= 0:
        shown = f"{margin['value']:.4f} [{margin['low']:.4f}, {margin['high']:.4f}]"
        return {"verdict": "unmoved", "reasons": [f"the held-out margin is {shown} nats"]}
    return {"verdict": "aligned", "reasons": []}


def page(report: Mapping, phantom: bool = False) -> str:
    """The report of align.py as Markdown: the pairs, the verdict, one column a model."""
    counts = report["counts"]
    answers = ", ".join(f"{answer} {n}" for answer, n in counts["train_answers"].items())
    more = {"phantom": phantom, "cells": cells_clause(counts), "answers": answers, "disclaimer": DISCLAIMER}
    return fill_template(TEMPLATE, {**report, **more})
