"""Accuracy: whether the final answer is the gold answer."""

from medical_rl.boxes import boxes_hit
from medical_rl.errors import unknown
from medical_rl.parsing.response import Response, gold, read
from medical_rl.sample import Sample

HIT = 0.5  # VRFT-Aug, equation 11
MATCHES = ("answer", "substring")


def accuracy(response: Response, sample: Sample, match: str = "answer") -> float:
    """1.0 if the final answer, read as `sample.kind`, is right, else 0.0.

    Right is equal to the gold answer, or boxes that match one to one with IoU > 0.5.
    VRFT-Aug, equation 1: the boxed label, case-insensitive; MEDFACT-R1: the exact yes or no.

    match: `answer` reads the final answer alone. `substring` is MEDFACT-R1's public code, for comparison
    only: the gold text anywhere in the response, so that with gold "no" every "abnormal" and "diagnosis" is
    right.

    >>> from medical_rl.parsing.response import parse
    >>> s = Sample("1", "demo", "?", "label", "normal, benign", choices=("malignant", "normal, benign"))
    >>> accuracy(parse("<think>smooth</think> \\\\boxed{Normal, Benign}"), s)
    1.0
    >>> accuracy(parse("<think>normal, benign</think>"), s)
    0.0
    """
    if match not in MATCHES:
        raise unknown("way to match the gold answer", match, MATCHES)
    if match == "substring":
        return float(sample.answer.lower() in response.text.lower())
    return float(right(read(response, sample), sample))


accuracy.maximum = 1.0


def right(predicted: str | None, sample: Sample) -> bool:
    """Whether an answer that `read` gave is the gold one; boxes: each hits its own with IoU > 0.5."""
    if predicted is None:
        return False
    truth = gold(sample)
    return boxes_hit(predicted, truth, HIT) if sample.kind == "box" else predicted == truth
