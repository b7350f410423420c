"""MFRS, the multi-grade fuzzy reward of VRFT-Aug (equation 9)."""

from collections.abc import Sequence

from medical_rl.errors import WrongKind
from medical_rl.parsing.response import Response, gold, read
from medical_rl.sample import Sample


def mfrs(response: Response, sample: Sample, weights: Sequence[float] = (1.0, 0.25, 0.0625)) -> float:
    """weights[d] for a grade d steps from the gold one, 0.0 beyond the list or for no grade at all.

    The paper's weights are 1, 1/4, 1/16, then 0. The sample must be of kind "grade".

    >>> from medical_rl.parsing.response import parse
    >>> s = Sample(id="1", source="demo", question="?", kind="grade", answer="3")
    >>> [mfrs(parse(f"\\\\boxed{{{g}}}"), s) for g in (3, 2, 1, 0)]
    [1.0, 0.25, 0.0625, 0.0]
    """
    if sample.kind != "grade":
        raise WrongKind(
            f"MFRS compares grades; the sample {sample.id!r} is of kind {sample.kind!r}. "
            "Use accuracy as the outcome."
        )
    predicted = read(response, sample)
    if predicted is None:
        return 0.0
    distance = abs(int(predicted) - int(gold(sample)))
    return float(weights[distance]) if distance < len(weights) else 0.0


mfrs.maximum = 1.0
