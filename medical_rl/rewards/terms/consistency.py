"""Consistency: a judge's word on whether the thought supports the answer (MEDFACT-R1)."""

from medical_rl.parsing.response import Response
from medical_rl.sample import Sample

SOUND, UNSOUND = 1.0, -0.5  # MEDFACT-R1 section 2.3


async def consistency(
    response: Response,
    sample: Sample,
    *,
    judge,
    sound: float = SOUND,
    unsound: float = UNSOUND,
    unclear: float | None = None,
    missing: float | None = None,
    with_image: bool = True,
) -> float:
    """`sound` if the judge finds the answer supported by the thought, else `unsound`.

    unclear     the judge cannot say; null takes `unsound` (the paper: "otherwise")
    missing     the response has no thought or no answer, which needs no judge; null takes `unsound`
    with_image  show the image to the judge

    Raises RewardFailed where the judge gives no verdict: that is not the model's fault.
    """
    if not response.thought or not response.answer:
        return float(unsound if missing is None else missing)
    verdict = await judge.consistency(
        question=sample.question,
        thought=response.thought,
        answer=response.answer,
        images=sample.images[:1] if with_image else (),
        restricted=sample.restricted,
        source=sample.source,
    )
    values = {"sound": sound, "unsound": unsound, "unclear": unsound if unclear is None else unclear}
    return float(values[verdict.verdict])


def maximum(sample: Sample, sound: float = SOUND, **_) -> float:
    """The largest reward."""
    return float(sound)


consistency.maximum = maximum
