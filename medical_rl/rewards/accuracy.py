"""Accuracy: whether the final answer is the gold answer."""

from medical_rl.answers import Response, gold, read
from medical_rl.sample import Sample


def accuracy(response: Response, sample: Sample) -> float:
    """1.0 if the final answer, read as `sample.kind`, equals the gold answer, else 0.0.

    VRFT-Aug, equation 1: the boxed label, case-insensitive.

    >>> from medical_rl.answers import parse
    >>> s = Sample(id="1", source="demo", question="?", kind="label", answer="normal, benign", choices=("malignant", "normal, benign"))
    >>> accuracy(parse("<think>smooth</think> \\\\boxed{Normal, Benign}"), s)
    1.0
    >>> accuracy(parse("<think>normal, benign</think>"), s)
    0.0
    """
    predicted = read(response, sample)
    return float(predicted is not None and predicted == gold(sample))
