"""How far R_phi can be trusted: figures on held-out graded rows, a page and a picture of them.

No model is loaded here: a row of these figures is a `Graded` with the score R_phi gave it.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from medical_rl.errors import UserError
from medical_rl.reward_model.graded import GRADES, HIGH, LOW, Graded
from medical_rl.run.files import replacing, write_text
from medical_rl.run.markdown import fill_template

RESAMPLES = 1000
BINS = 32


def calibrate(
    rows: Sequence[Graded],
    scores: Sequence[float],
    *,
    swapped: tuple[Sequence[Graded], Sequence[float]] | None = None,
    previous: Sequence[float] | None = None,
    scale: str = "grades",
    seed: int = 0,
) -> dict:
    """All figures as a dict for JSON.

    swapped    the rows with exchanged images (probes.with_swapped_images) and their scores
    previous   scores of the same rows by the previous round's R_phi
    scale      "free" for a model trained on pairs: figures that need grades (mae) are then None
    """
    _check_lengths(rows, scores)
    grades = list(map(attrgetter("grade"), rows))
    kinds = figures_by_kind(rows, scores)
    return {
        "rows": len(rows),
        "scale": scale,
        "spearman": spearman(grades, scores),
        "mae": float(np.abs(np.subtract(scores, grades)).mean()) if scale == "grades" else None,
        "order_accuracy": order_accuracy(rows, scores),
        "kinds": kinds,
        "probe_gaps": probe_gaps(rows, scores),
        "in_order": in_order(kinds),
        "swapped": swapped_drop(rows, scores, *swapped, seed=seed) if swapped else None,
        "text_only_spearman": None,
        "drift": drift(scores, previous) if previous is not None else None,
    }


def spearman(grades: Sequence[float], scores: Sequence[float]) -> float | None:
    """Rank correlation in [-1, 1]; None where one side is constant.

    Tied grades keep it below 1 even for a perfect model.
    """
    _check_lengths(grades, scores)
    if len(set(grades)) < 2 or len(set(scores)) < 2:
        return None
    return float(spearmanr(grades, scores).statistic)


def order_accuracy(rows: Sequence[Graded], scores: Sequence[float]) -> float | None:
    """Share of pairs of one sample with different grades that are ordered right, a tie counting half."""
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


def figures_by_kind(rows: Sequence[Graded], scores: Sequence[float]) -> dict[str, dict]:
    """{made_by: {"n", "grade" (mean), "mean", "std", "min", "max", "histogram"}}.

    histogram  counts in BINS bins of [LOW - 2, HIGH + 2]; scores beyond it are counted in its outermost bins
    """
    figures = {}
    for made_by, (grades, own) in _by_kind(rows, scores).items():
        counts, _ = np.histogram(own.clip(LOW - 2, HIGH + 2), bins=BINS, range=(LOW - 2, HIGH + 2))
        figures[made_by] = {"n": len(own), "grade": float(grades.mean())}
        for name in ("mean", "std", "min", "max"):
            figures[made_by][name] = float(getattr(own, name)())
        figures[made_by]["histogram"] = counts.tolist()
    return figures


def _by_kind(rows: Sequence[Graded], scores: Sequence[float]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{made_by: (grades, scores)} of the rows, kinds in the order in which they come."""
    kinds: dict[str, tuple[list, list]] = {}
    for row, score in zip(rows, scores, strict=True):
        grades, own = kinds.setdefault(row.made_by, ([], []))
        grades.append(row.grade)
        own.append(score)
    return {made_by: (np.array(grades), np.array(own)) for made_by, (grades, own) in kinds.items()}


def in_order(kinds: Mapping[str, Mapping]) -> bool | None:
    """True if the means of the paper's four kinds of text fall as their grades do; None where one lacks."""
    if not set(GRADES) <= set(kinds):
        return None
    means = [kinds[made_by]["mean"] for made_by in sorted(GRADES, key=GRADES.get)]
    return bool(np.all(np.diff(means) > 0))


def probe_gaps(rows: Sequence[Graded], scores: Sequence[float]) -> dict[str, dict]:
    """{probe: {"gap", "share_above", "n"}} of every kind that is not one of the paper's four.

    gap          mean score of the originals less that of the probe: small or negative, R_phi can be exploited
                 by such texts
    share_above  share of probe texts that score above the midpoint between the originals' mean and the
                 irrelevant's
    """
    kinds = _by_kind(rows, scores)
    if "original" not in kinds:
        return {}
    best = kinds["original"][1].mean()
    worst = kinds["irrelevant"][1].mean() if "irrelevant" in kinds else best
    gaps = {}
    for made_by, (_, own) in kinds.items():
        if made_by not in GRADES:
            above = float(np.mean(own > (best + worst) / 2))
            gaps[made_by] = {"gap": float(best - own.mean()), "share_above": above, "n": len(own)}
    return gaps


def swapped_drop(
    rows: Sequence[Graded],
    scores: Sequence[float],
    exchanged: Sequence[Graded],
    exchanged_scores: Sequence[float],
    *,
    seed: int = 0,
) -> dict:
    """{"n", "before", "after", "drop", "low", "high"} of grade-10 texts, before and after the exchange.

    drop      mean fall of the score, paired by row; an R_phi that does not look has none
    low, high its 95 % interval by a seeded bootstrap over samples
    """
    keys = [(row.sample.id, row.made_by, row.text) for row in rows]
    own = dict(zip(keys, scores, strict=True))
    pairs = []
    for row, score in zip(exchanged, exchanged_scores, strict=True):
        if row.grade == HIGH:
            pairs.append((own[row.sample.id, row.made_by, row.text], score))
    if not pairs:
        raise UserError(f"No text of grade {HIGH} is among the {len(exchanged)} rows with exchanged images.")
    before, after = np.array(pairs).T
    drops = before - after
    rng = np.random.default_rng(seed)
    means = drops[rng.integers(len(drops), size=(RESAMPLES, len(drops)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    figures = {"before": before.mean(), "after": after.mean(), "drop": drops.mean(), "low": low, "high": high}
    return {"n": len(drops)} | {name: float(value) for name, value in figures.items()}


def drift(scores: Sequence[float], previous: Sequence[float]) -> dict:
    """{"shift", "spread", "spearman"}: this round's scores less the previous round's, of the same rows."""
    _check_lengths(scores, previous)
    change = np.subtract(scores, previous)
    rank_correlation = spearman(list(previous), list(scores))
    return {"shift": float(change.mean()), "spread": float(change.std()), "spearman": rank_correlation}


def _check_lengths(one: Sequence, other: Sequence) -> None:
    if len(one) != len(other) or not len(one):
        raise UserError(
            f"Scores are compared row by row: {len(one)} rows and {len(other)} scores do not match."
        )


TEMPLATE = Path(__file__).with_name("report.md.jinja")
DISCLAIMER = "Not for clinical use."


def write_report(figures: Mapping, path: Path, title: str, phantom: bool = False) -> None:
    """Write `path`.md and `path`.png of the figures that `calibrate` gave."""
    write_text(path.with_suffix(".md"), markdown(figures, title, phantom))
    with replacing(path.with_suffix(".png")) as scratch:
        draw_histograms(figures, scratch, title, phantom)


def markdown(figures: Mapping, title: str, phantom: bool = False) -> str:
    """The figures as text: what they are, a table of the kinds of text, a table of the probes."""
    more = {"title": title, "phantom": phantom, "disclaimer": DISCLAIMER}
    return fill_template(TEMPLATE, {**figures, **more})


def draw_histograms(figures: Mapping, path: Path, title: str, phantom: bool = False) -> None:
    """Write a PNG with one histogram a kind of text, the grade it deserves marked."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    kinds = figures["kinds"]
    edges = np.linspace(LOW - 2, HIGH + 2, BINS + 1)
    figure, rows = plt.subplots(
        len(kinds), 1, figsize=(7, 0.9 * len(kinds) + 1.2), sharex=True, squeeze=False
    )
    for axis, (name, kind) in zip(rows[:, 0], kinds.items(), strict=True):
        axis.stairs(kind["histogram"], edges, fill=True, color="tab:blue")
        axis.axvline(kind["grade"], color="tab:red", linestyle="--", linewidth=1)
        axis.set_ylabel(f"{name}\nn={kind['n']}", rotation=0, ha="right", va="center", fontsize=8)
        axis.set_yticks([])
    rows[-1, 0].set_xlabel("score of R_phi (dashed: the grade deserved)")
    figure.suptitle(f"R_phi, {title}{' (phantoms)' if phantom else ''}. {DISCLAIMER}", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=120, format="png")
    plt.close(figure)
