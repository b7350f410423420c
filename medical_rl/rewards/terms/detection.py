"""Detection: how well predicted boxes cover the gold ones (VRFT-Aug, equations 2 and 11)."""

import json

from medical_rl.boxes import FRAMES, iou, match_boxes, to_original
from medical_rl.errors import UserError, WrongKind, unknown
from medical_rl.parsing.response import Response, gold, read
from medical_rl.sample import Sample

COMPARE = (">", ">=")


def detection(
    response: Response,
    sample: Sample,
    threshold: float = 0.5,
    compare: str = ">",
    continuous: bool = False,
    frame: str = "original",
    min_pixels: int = 3136,
    max_pixels: int = 12845056,
    patch: int = 28,
) -> float:
    """Share of boxes found, in [0, 1]: 1.0 or 0.0 for one gold box and one predicted.

    threshold   a predicted box hits a gold one if their IoU is above it
    compare     ">" (equation 11, the default) or ">=" (equation 2)
    continuous  the IoU itself in place of hit or miss
    frame       pixels the prediction is in: original; resized (as the image processor resizes the image to
                min_pixels..max_pixels in steps of `patch`); relative (0 to 1000 of each side)

    Boxes are matched one to one for the largest sum of IoU; the sum is divided by the larger count, so
    boxes too many cost as much as boxes missed.

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
    if compare not in COMPARE:
        raise unknown("comparison with the IoU threshold", compare, COMPARE)
    if frame not in FRAMES:
        raise unknown("frame of predicted boxes", frame, FRAMES)
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
    total = 0.0
    for i, j in match_boxes(boxes, truth):
        value = iou(boxes[i], truth[j])
        if not continuous:
            value = float(value > threshold or (compare == ">=" and value == threshold))
        total += value
    return total / max(len(boxes), len(truth))


detection.maximum = 1.0
