"""How right the final answer is: accuracy, MFRS for grades, detection for boxes, the outcome that is one."""

import json
from collections.abc import Sequence

from medical_rl.boxes import FRAMES, boxes_hit, iou, match_boxes, to_original, within
from medical_rl.errors import UserError, WrongKind, check_known
from medical_rl.parsing.response import Response, gold, read
from medical_rl.sample import Sample

HIT = 0.5  # VRFT-Aug, equation 11
MATCHES = ("answer", "substring")
COMPARE = (">", ">=")


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
    check_known("way to match the gold answer", match, MATCHES)
    if match == "substring":
        return float(sample.answer.lower() in response.text.lower())
    return float(right(read(response, sample), sample))


def right(predicted: str | None, sample: Sample) -> bool:
    """Whether an answer that `read` gave is the gold one; boxes: all in the image, each hits its own."""
    if predicted is None:
        return False
    truth = gold(sample)
    if sample.kind != "box":
        return predicted == truth
    if not all(within(box, sample.size) for box in json.loads(predicted)):
        return False
    return boxes_hit(predicted, truth, HIT)


def mfrs(response: Response, sample: Sample, weights: Sequence[float] = (1.0, 0.25, 0.0625)) -> float:
    """weights[d] for a grade d steps from the gold one, 0.0 beyond the list or for no grade at all.

    MFRS, the multi-grade fuzzy reward of VRFT-Aug (equation 9): 1, 1/4, 1/16, then 0. The sample must be of
    kind "grade".

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


def detection(
    response: Response, sample: Sample, threshold: float = HIT, compare: str = ">", continuous: bool = False,
    frame: str = "original", min_pixels: int = 3136, max_pixels: int = 12845056, patch: int = 28,
) -> float:  # fmt: skip
    """Share of boxes found (VRFT-Aug, equations 2, 11), in [0, 1]: 1.0 or 0.0 for one gold box and one given.

    threshold   a predicted box hits a gold one if their IoU is above it
    compare     ">" (equation 11, the default) or ">=" (equation 2)
    continuous  the IoU itself in place of hit or miss
    frame       pixels the prediction is in: original; resized (as the image processor resizes the image to
                min_pixels..max_pixels in steps of `patch`); relative (0 to 1000 of each side)

    Boxes are matched one to one for the largest sum of IoU; the sum is divided by the larger count, so
    boxes too many cost as much as boxes missed. An answer with a box beyond the image is none: 0.

    >>> from medical_rl.parsing.response import parse
    >>> s = Sample(id="1", source="demo", question="?", kind="box", answer="[0, 0, 10, 10]", size=(100, 100))
    >>> response = parse("<answer>[0, 0, 10, 8]</answer>")
    >>> detection(response, s), detection(response, s, continuous=True)
    (1.0, 0.8)
    """
    if sample.kind != "box":
        raise WrongKind(
            f"The detection reward compares boxes; the sample {sample.id!r} is of kind {sample.kind!r}."
        )
    check_known("comparison with the IoU threshold", compare, COMPARE)
    check_known("frame of predicted boxes", frame, FRAMES)
    if frame != "original" and sample.size is None:
        raise UserError(
            f"Boxes in the frame {frame!r} need the image's size, and the row {sample.id!r} has none."
        )
    predicted = read(response, sample)
    if predicted is None:
        return 0.0
    truth = json.loads(gold(sample))
    boxes = []
    for box in json.loads(predicted):
        boxes.append(to_original(box, sample.size, frame, min_pixels, max_pixels, patch))
    if not all(within(box, sample.size) for box in boxes):
        return 0.0
    total = 0.0
    for i, j in match_boxes(boxes, truth):
        value = iou(boxes[i], truth[j])
        if not continuous:
            value = float(value > threshold or (compare == ">=" and value == threshold))
        total += value
    return total / max(len(boxes), len(truth))


OUTCOMES = {"accuracy": accuracy, "mfrs": mfrs}


def outcome(response: Response, sample: Sample, by: str = "accuracy") -> float:
    """Accuracy or MFRS of the response, in [0, 1], as `by` says: the outcome term of VRFT-Aug.

    In its tables the outcome is accuracy everywhere except on RetinaMNIST and COVID severity, whose every RL
    row uses MFRS; a dataset's config says which (`conf.data.outcome`).
    """
    check_known("outcome", by, OUTCOMES)
    return OUTCOMES[by](response, sample)


accuracy.maximum = mfrs.maximum = detection.maximum = outcome.maximum = 1.0
