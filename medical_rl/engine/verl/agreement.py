"""Rollout and trainer must be one policy that sees one image: where they are not, the run stops and says so.

A policy that is blind to its images, or that answers with other weights than are trained, goes on learning:
the loss falls, rewards move, and nothing in the figures that are looked at tells of it.
"""

import math
from collections.abc import Mapping, Sequence

from medical_rl.errors import StageFailed

CORRELATION = "training/rollout_actor_probs_pearson_corr"
LARGEST = "training/rollout_probs_diff_max"
# Probabilities that all agree so closely are equal, though their correlation is noise: a policy that is
# certain of each token has hardly any variance to correlate.
CLOSE = 0.01


class AgreementWatch:
    """Watches the first steps of a training: since it began, or since it was resumed.

    at_least  the lowest correlation of the probabilities that rollout and trainer give the same tokens
    steps     how many steps are watched; 0 watches none
    """

    def __init__(self, at_least: float, steps: int):
        self.at_least, self.left = at_least, steps

    def check(self, metrics: Mapping[str, float], step: int) -> None:
        """Look at a step's metrics. Raises StageFailed for a correlation that is too low, NaN or missing."""
        if self.left <= 0:
            return
        self.left -= 1
        correlation = float(metrics.get(CORRELATION, math.nan))
        if correlation >= self.at_least or float(metrics.get(LARGEST, math.inf)) < CLOSE:
            return
        if CORRELATION not in metrics:
            figure = "is not there (actor_rollout_ref.rollout.calculate_log_probs must be true)"
        elif math.isnan(correlation):
            figure = "is not a number"
        else:
            figure = f"is {correlation:.3f}, below conf.engine.agreement_at_least={self.at_least:g}"
        raise StageFailed(
            f"Rollout and trainer disagree: at step {step} the correlation of the probabilities that they give "
            f"the same tokens ({CORRELATION}) {figure}. The model that answers is not the model that is "
            "trained, or it sees other images: weights do not reach vLLM, or the two process images differently "
            "(limits, orientation, a patched processor). What it learns so is worth nothing, though rewards may "
            "rise. Where the difference is known and wanted, lower conf.engine.agreement_at_least, or train "
            "unwatched with conf.engine.agreement_steps=0."
        )


def grid_difference(rollout: Sequence | None, trainer: Sequence | None) -> str | None:
    """How the grids (t, h, w) of a prompt's images differ, None where they do not.

    rollout  as vLLM's processor cut them, None where one was cut before or vLLM told nothing
    trainer  as the trainer's did, None for a model without grids

    >>> grid_difference([(1, 42, 22)], [(1, 22, 42)])
    'image 1 has 42 x 22 patches in the rollout and 22 x 42 in training'
    >>> grid_difference([None, (1, 4, 4)], [(1, 22, 42), (1, 4, 4)]), grid_difference(None, [(1, 4, 4)])
    (None, None)
    """
    if rollout is None or trainer is None:
        return None
    if len(rollout) != len(trainer):
        return f"there are {len(rollout)} images in the rollout and {len(trainer)} in training"
    for number, (one, other) in enumerate(zip(rollout, trainer, strict=True), start=1):
        if one is not None and tuple(one) != tuple(other):
            (_, height, width), (_, its_height, its_width) = one, other
            return (
                f"image {number} has {height} x {width} patches in the rollout and {its_height} x {its_width} "
                "in training"
            )
    return None


def refuse_differing_images(differences: Mapping[str, str]) -> None:
    """Raise StageFailed for the rows {id: how their images differ}, where there are any."""
    if not differences:
        return
    row, difference = next(iter(differences.items()))
    others = f" {len(differences) - 1} more rows of this step differ too." if len(differences) > 1 else ""
    raise StageFailed(
        f"Rollout and trainer see different images: of the row {row}, {difference}.{others} vLLM and the trainer "
        "obey different things in an image file, an EXIF orientation above all. Rows that medical_rl prepares "
        "have none; prepare these with it, or turn the images and drop the tag "
        "(PIL.ImageOps.exif_transpose)."
    )
