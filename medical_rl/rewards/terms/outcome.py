"""The outcome term of VRFT-Aug: accuracy, or MFRS on the paper's two ordinal sets."""

from medical_rl.errors import unknown
from medical_rl.parsing.response import Response
from medical_rl.rewards.terms.accuracy import accuracy
from medical_rl.rewards.terms.mfrs import mfrs
from medical_rl.sample import Sample

OUTCOMES = {"accuracy": accuracy, "mfrs": mfrs}


def outcome(response: Response, sample: Sample, by: str = "accuracy") -> float:
    """Accuracy or MFRS of the response, in [0, 1], as `by` says.

    In VRFT-Aug's tables the outcome is accuracy everywhere except on RetinaMNIST and COVID
    severity, whose every RL row uses MFRS; a dataset's config says which (`conf.data.outcome`).
    """
    if by not in OUTCOMES:
        raise unknown("outcome", by, OUTCOMES)
    return OUTCOMES[by](response, sample)


outcome.maximum = 1.0
