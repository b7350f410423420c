"""Learned: MedGR2's reward model R_phi, asked over HTTP (equation 1 trains it, equation 3 uses it)."""

from __future__ import annotations

import math

from medical_rl.answers import Response
from medical_rl.errors import RewardFailed, unknown
from medical_rl.sample import Sample

LOW, HIGH = -6.0, 10.0  # the grades it was trained on
SCALES = ("raw", "unit")


async def learned(response: Response, sample: Sample, *, reward_model, scale: str = "raw") -> float:
    """R_phi(image, question, response), clipped to [-6, 10] as its grades are; `unit` maps that to [0, 1].

    The paper adds the raw score to an indicator in [0, 1], which it outweighs tenfold; `unit` is offered for that.
    Raises RewardFailed where the row has no image or the model does not answer with a finite number.
    """
    if scale not in SCALES:
        raise unknown("scale of the learned reward", scale, SCALES)
    if not sample.images:
        raise RewardFailed(f"The row {sample.id!r} has no image, and R_phi judges an answer about one.")
    value = float(await reward_model.score(sample, response.text))
    if not math.isfinite(value):
        raise RewardFailed(f"The reward model gave {value} for the row {sample.id!r}, not a finite number.")
    value = max(LOW, min(HIGH, value))
    return (value - LOW) / (HIGH - LOW) if scale == "unit" else value


def maximum(sample: Sample, scale: str = "raw", **_) -> float:
    """The largest reward: 10, or 1 on the unit scale."""
    return 1.0 if scale == "unit" else HIGH
