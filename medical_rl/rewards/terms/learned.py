"""Learned: MedGR2's reward model R_phi, asked over HTTP (equation 1 trains it, equation 3 uses it)."""

import math

from medical_rl.errors import RewardFailed, check_known
from medical_rl.parsing.response import Response, read
from medical_rl.sample import Sample

LOW, HIGH = -6.0, 10.0  # the grades it was trained on
SCALES = ("raw", "unit")
NO_ANSWER = ("asked", "low")


async def learned(
    response: Response, sample: Sample, *, reward_model, scale: str = "raw", no_answer: str = "asked"
) -> float:
    """R_phi(image, question, response), clipped to [-6, 10] as its grades are; `unit` maps that to [0, 1].

    The paper adds the raw score to an indicator in [0, 1], which it outweighs tenfold; `unit` is offered for
    that.
    no_answer  what a response gets from which no answer can be read: asked (R_phi's score, as in the paper)
               or low (-6). By its grades a broken text (0) beats a wrong answer (-6), so a policy that is
               often wrong learns to leave its answer out.
    Raises RewardFailed where the row has no image or the model does not answer with a finite number.
    """
    check_known("scale of the learned reward", scale, SCALES)
    check_known("value of no_answer of the learned reward", no_answer, NO_ANSWER)
    if not sample.images:
        raise RewardFailed(f"The row {sample.id!r} has no image, and R_phi judges an answer about one.")
    if no_answer == "low" and read(response, sample) is None:
        return 0.0 if scale == "unit" else LOW
    value = float(await reward_model.score(sample, response.text))
    if not math.isfinite(value):
        raise RewardFailed(f"The reward model gave {value} for the row {sample.id!r}, not a finite number.")
    value = max(LOW, min(HIGH, value))
    return (value - LOW) / (HIGH - LOW) if scale == "unit" else value


learned.maximum = lambda sample, scale="raw", **_: 1.0 if scale == "unit" else HIGH
