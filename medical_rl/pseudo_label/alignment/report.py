"""What preference tuning did on held-out rows, before and after, beside a control, and whether it did harm.

A rising margin alone proves nothing: it also rises when the chosen answer becomes impossible and the rejected one more so. And the
held-out PAIRS were chosen for being answered wrongly before, so their accuracy can only rise. What is judged is therefore the
chosen answers' log-probability, and the form and accuracy of greedy responses on ALL rows of the held-out studies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medical_rl.errors import UserError
from medical_rl.evaluation.metrics import interval
from medical_rl.parsing.response import parse
from medical_rl.pseudo_label.alignment.preference import Preference
from medical_rl.rewards.terms.accuracy import accuracy
from medical_rl.rewards.terms.format import FORMS

RESAMPLES = 2000
BEFORE, AFTER, CONTROL = "before", "after", "control"
JUDGED = ("chosen_logprob", "gold_logprob", "well_formed", "accuracy")
VERDICTS = ("aligned", "unmoved", "collapsed")
_FORMS = ("tagged", "boxed")


def form_of(rows: Sequence[Preference]) -> str | None:
    """The name of the form (rewards/format.py) that every gold answer has; None where they share none of them.

    A response is well-formed if it has this form and its answer can be read; without a form, if its answer can be read.
    """
    gold = [parse(row.chosen) for row in rows]
    return next((name for name in _FORMS if all(FORMS[name](text) for text in gold)), None)


def figures(rows: Sequence[Preference], arms: Mapping[str, Sequence[Mapping]], seed: int = 0) -> dict:
    """{"form", "n_rows", "n_pairs", "arms": {name: figures of `measured`}} of lines that pair_scores.py wrote.

    arms  {"before": lines, "after": lines, ...}, each with a line a row, in the rows' order
    """
    for name, lines in arms.items():
        if [line["id"] for line in lines] != [row.id for row in rows]:
            raise UserError(
                f"The scores of the model {name} are not of the {len(rows)} held-out rows, in their order."
            )
    form = form_of(rows)
    told = {name: measured(rows, lines, arms[BEFORE], form, seed) for name, lines in arms.items()}
    pairs = sum(row.rejected is not None for row in rows)
    return {"form": form, "n_rows": len(rows), "n_pairs": pairs, "arms": told}


def measured(
    rows: Sequence[Preference],
    lines: Sequence[Mapping],
    before: Sequence[Mapping],
    form: str | None,
    seed: int,
) -> dict:
    """{figure: {"value", "low", "high", "change", "change_low", "change_high"}} of one model; log-probabilities in nats an answer.

    On the pairs: `margin`, log-probability of chosen less rejected, less the same before tuning (DPO's implicit reward without its
    beta); `pair_accuracy`, share of pairs with a margin above 0; `prefers_gold`, share whose chosen is the likelier; and
    `chosen_logprob`. On all rows: `gold_logprob`, `well_formed`, `accuracy`. Shares have Wilson's interval, means and all changes
    a seeded bootstrap's over studies, paired by row. What the reference cannot have (a margin to itself) is None.
    """
    paired = [i for i, row in enumerate(rows) if row.rejected is not None]
    studies = [row.study for row in rows]
    now, was = (_columns(rows, some, form) for some in (lines, before))
    found = {}
    for name in ("gold_logprob", "well_formed", "accuracy"):
        found[name] = _figure(now[name], was[name], studies, seed)
    pair_studies = [studies[i] for i in paired]
    own, old = ({k: column[paired] for k, column in columns.items()} for columns in (now, was))
    difference, reference = (columns["gold_logprob"] - columns["rejected"] for columns in (own, old))
    margin = difference - reference
    found["chosen_logprob"] = _figure(own["gold_logprob"], old["gold_logprob"], pair_studies, seed)
    found["prefers_gold"] = _figure(difference > 0, reference > 0, pair_studies, seed)
    found["pairs_right"] = _figure(own["accuracy"], old["accuracy"], pair_studies, seed)
    itself = lines is before
    found["margin"] = None if itself else _figure(margin, None, pair_studies, seed)
    found["pair_accuracy"] = None if itself else _figure(margin > 0, None, pair_studies, seed)
    return found


def _columns(rows: Sequence[Preference], lines: Sequence[Mapping], form: str | None) -> dict[str, np.ndarray]:
    responses = [parse(line["response"]) for line in lines]
    samples = [row.sample for row in rows]
    formed = [bool(r.answer) and (form is None or FORMS[form](r)) for r in responses]
    return {
        "gold_logprob": np.array([line["chosen"] for line in lines], float),
        "rejected": np.array(
            [np.nan if line["rejected"] is None else line["rejected"] for line in lines], float
        ),
        "well_formed": np.array(formed, bool),
        "accuracy": np.array([accuracy(r, s) == 1.0 for r, s in zip(responses, samples, strict=True)], bool),
    }


def _figure(now: np.ndarray, was: np.ndarray | None, studies: Sequence[str], seed: int) -> dict:
    value = float(now.mean())
    low, high = interval(int(now.sum()), len(now)) if now.dtype == bool else bootstrap(now, studies, seed)
    told = {
        "n": len(now),
        "value": value,
        "low": low,
        "high": high,
        "change": None,
        "change_low": None,
        "change_high": None,
    }
    if was is not None:
        change = now.astype(float) - was.astype(float)
        told["change"] = float(change.mean())
        told["change_low"], told["change_high"] = bootstrap(change, studies, seed)
    return told


def bootstrap(values: np.ndarray, studies: Sequence[str], seed: int) -> tuple[float, float]:
    """(low, high): the 95 % bootstrap interval of the mean; whole studies are drawn, as their rows are not independent."""
    names, which = np.unique(np.asarray(studies), return_inverse=True)
    sums, counts = np.bincount(which, weights=values), np.bincount(which)
    drawn = np.random.default_rng(seed).integers(len(names), size=(RESAMPLES, len(names)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def verdict(after: Mapping, max_fall: Mapping[str, float]) -> dict:
    """{"verdict", "reasons"}: collapsed where a judged figure fell by more than `max_fall` allows; unmoved where the margin's
    interval holds 0, or is below it; else aligned.

    max_fall  {"logprob": nats an answer, "well_formed": share, "accuracy": share}; the fall itself is compared, not its interval:
              a labeller whose harm cannot be told from noise is not worth the risk
    """
    reasons = []
    for name in JUDGED:
        fall, allowed = -after[name]["change"], max_fall["logprob" if name.endswith("logprob") else name]
        if fall > allowed:
            reasons.append(f"{name} fell by {fall:.3f} (allowed: {allowed:g})")
    if reasons:
        return {"verdict": "collapsed", "reasons": reasons}
    if after["margin"]["low"] <= 0:
        margin = after["margin"]
        told = (
            f"the held-out margin is {margin['value']:.4f} [{margin['low']:.4f}, {margin['high']:.4f}] nats"
        )
        return {"verdict": "unmoved", "reasons": [told]}
    return {"verdict": "aligned", "reasons": []}
