"""How far R_phi can be trusted: figures on held-out graded rows. Numbers in, numbers out; no model is loaded here.

A row of these figures is a `Graded` with the score R_phi gave it. What a figure means stands in its function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import spearmanr

from medical_rl.errors import UserError
from medical_rl.reward_model.graded import GRADES, HIGH, LOW, Graded

RESAMPLES = 1000
BINS = 32


def calibrate(
    rows: Sequence[Graded],
    scores: Sequence[float],
    *,
    swapped: tuple[Sequence[Graded], Sequence[float]] | None = None,
    text_only: Sequence[float] | None = None,
    previous: Sequence[float] | None = None,
    scale: str = "grades",
    seed: int = 0,
) -> dict:
    """All figures as a dict for JSON.

    swapped    the rows with exchanged images (counterfactual.swapped) and their scores
    text_only  scores of the same rows by an R_phi trained on grey images, or of grey images by this one
    previous   scores of the same rows by the previous round's R_phi
    scale      "free" for a model trained on pairs: figures that need grades (mae) are then None
    """
    grades = [row.grade for row in rows]
    found = {
        "rows": len(rows),
        "scale": scale,
        "spearman": spearman(grades, scores),
        "mae": float(np.abs(np.subtract(scores, grades)).mean()) if scale == "grades" else None,
        "order_accuracy": order_accuracy(rows, scores),
        "kinds": kinds(rows, scores),
        "probe_gaps": probe_gaps(rows, scores),
    }
    found["in_order"] = in_order(found["kinds"])
    found["swapped"] = swapped_drop(rows, scores, *swapped, seed=seed) if swapped else None
    found["text_only_spearman"] = spearman(grades, text_only) if text_only is not None else None
    found["drift"] = drift(scores, previous) if previous is not None else None
    return found


def spearman(grades: Sequence[float], scores: Sequence[float]) -> float | None:
    """Rank correlation in [-1, 1]; None where one side is constant. Tied grades keep it below 1 even for a perfect model."""
    _same_length(grades, scores)
    if len(set(grades)) < 2 or len(set(scores)) < 2:
        return None
    return float(spearmanr(grades, scores).statistic)


def order_accuracy(rows: Sequence[Graded], scores: Sequence[float]) -> float | None:
    """Share of pairs of one sample with different grades that are ordered right, a tie counting half; None without pairs."""
    by_sample: dict[str, list[tuple[float, float]]] = {}
    for row, score in zip(rows, scores, strict=True):
        by_sample.setdefault(row.sample.id, []).append((row.grade, score))
    right, pairs = 0.0, 0
    for group in by_sample.values():
        for i, (grade, score) in enumerate(group):
            for other_grade, other in group[:i]:
                if grade != other_grade:
                    pairs += 1
                    right += 0.5 if score == other else float((grade > other_grade) == (score > other))
    return right / pairs if pairs else None


def kinds(rows: Sequence[Graded], scores: Sequence[float]) -> dict[str, dict]:
    """{made_by: {"n", "grade" (mean), "mean", "std", "min", "max", "histogram" (counts in BINS bins of [LOW - 2, HIGH + 2])}}.

    Scores beyond the histogram's range are counted in its outermost bins.
    """
    found = {}
    for made_by in dict.fromkeys(row.made_by for row in rows):
        chosen = [
            (row.grade, score) for row, score in zip(rows, scores, strict=True) if row.made_by == made_by
        ]
        own = np.array([score for _, score in chosen])
        counts, _ = np.histogram(own.clip(LOW - 2, HIGH + 2), bins=BINS, range=(LOW - 2, HIGH + 2))
        found[made_by] = {
            "n": len(own),
            "grade": float(np.mean([grade for grade, _ in chosen])),
            **{name: float(getattr(own, name)()) for name in ("mean", "std", "min", "max")},
            "histogram": counts.tolist(),
        }
    return found


def in_order(found: Mapping[str, Mapping]) -> bool | None:
    """True if the means of the paper's four kinds of text fall as their grades do; None where one of them is missing."""
    if not set(GRADES) <= set(found):
        return None
    means = [found[made_by]["mean"] for made_by in sorted(GRADES, key=GRADES.get, reverse=True)]
    return all(better > worse for better, worse in zip(means, means[1:], strict=False))


def probe_gaps(rows: Sequence[Graded], scores: Sequence[float]) -> dict[str, dict]:
    """{probe: {"gap", "share_above", "n"}} of every kind that is not one of the paper's four.

    gap          mean score of the originals less that of the probe: small or negative, R_phi can be exploited by such texts
    share_above  share of probe texts that score above the midpoint between the originals' mean and the irrelevant's
    """
    found = kinds(rows, scores)
    if "original" not in found:
        return {}
    best, worst = found["original"]["mean"], found.get("irrelevant", found["original"])["mean"]
    gaps = {}
    for made_by in [name for name in found if name not in GRADES]:
        own = [score for row, score in zip(rows, scores, strict=True) if row.made_by == made_by]
        above = float(np.mean(np.array(own) > (best + worst) / 2))
        gaps[made_by] = {"gap": best - found[made_by]["mean"], "share_above": above, "n": len(own)}
    return gaps


def swapped_drop(
    rows: Sequence[Graded],
    scores: Sequence[float],
    exchanged: Sequence[Graded],
    exchanged_scores: Sequence[float],
    *,
    seed: int = 0,
) -> dict:
    """{"n", "before", "after", "drop", "low", "high"}: grade-10 texts with their own image and with another's.

    drop      mean fall of the score, paired by row; an R_phi that does not look has none
    low, high its 95 % interval by a seeded bootstrap over samples
    """
    own = {(row.sample.id, row.made_by, row.text): score for row, score in zip(rows, scores, strict=True)}
    pairs = [
        (own[row.sample.id, row.made_by, row.text], score)
        for row, score in zip(exchanged, exchanged_scores, strict=True)
        if row.grade == HIGH
    ]
    if not pairs:
        raise UserError(f"No text of grade {HIGH} is among the {len(exchanged)} rows with exchanged images.")
    before, after = np.array(pairs).T
    drops = before - after
    rng = np.random.default_rng(seed)
    means = drops[rng.integers(len(drops), size=(RESAMPLES, len(drops)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    told = {"before": before.mean(), "after": after.mean(), "drop": drops.mean(), "low": low, "high": high}
    return {"n": len(drops), **{name: float(value) for name, value in told.items()}}


def drift(scores: Sequence[float], previous: Sequence[float]) -> dict:
    """{"shift", "spread", "spearman"}: mean and deviation of this round's scores less the previous round's, same rows."""
    _same_length(scores, previous)
    change = np.subtract(scores, previous)
    return {
        "shift": float(change.mean()),
        "spread": float(change.std()),
        "spearman": spearman(list(previous), list(scores)),
    }


def _same_length(one: Sequence, other: Sequence) -> None:
    if len(one) != len(other) or not len(one):
        raise UserError(
            f"Scores are compared row by row: {len(one)} rows and {len(other)} scores do not match."
        )
