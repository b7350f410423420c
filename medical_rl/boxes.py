"""Boxes [x1, y1, x2, y2] in pixels, x to the right and y downwards.

The frames in which a box may be given: original pixels, the processor's resized pixels, or 0 to 1000.

original  pixels of the image as it was annotated, Sample.size; every gold box of a row, every `pred` of predictions/*.jsonl
resized   pixels of the picture after Qwen2.5-VL's processor has resized it to multiples of 28 within the pixel limits
relative  thousandths of the width and of the height

x runs to the right and y downwards from the upper left corner; x2 and y2 are one past the last column and row. A prompt names the
frame that it asks in (conf/prompt/detection*.yaml: `frame`); the supervised target is put into it, and what a model says is
read in it by the reward (conf/rewards/vrft_detection.yaml) and by the evaluation.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

Box = Sequence[float]


def area(box: Box) -> float:
    """Square pixels of a box; 0 where a side is not positive."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def iou(one: Box, other: Box) -> float:
    """Intersection over union in [0, 1]; 0 where both are empty.

    >>> iou([0, 0, 2, 2], [1, 0, 3, 2])
    0.3333333333333333
    >>> iou([1, 1, 2, 2], [1, 1, 2, 2])
    1.0
    """
    shared = area(
        [max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])]
    )
    union = area(one) + area(other) - shared
    return shared / union if union > 0 else 0.0


def first_iou(predicted: str | None, gold: str) -> float:
    """IoU of the first predicted box with the first gold one, both JSON lists of boxes as `answers.read` gives them."""
    boxes = json.loads(predicted) if predicted else []
    return iou(boxes[0], json.loads(gold)[0]) if boxes else 0.0


def matched(predicted: Sequence[Box], gold: Sequence[Box]) -> list[tuple[int, int]]:
    """Pairs (predicted, gold) of indices, one to one, with the largest sum of IoU.

    >>> matched([[0, 0, 1, 1], [5, 5, 9, 9]], [[5, 5, 9, 8], [0, 0, 1, 2]])
    [(0, 1), (1, 0)]
    """
    if len(predicted) == 1 and len(gold) == 1:
        return [(0, 0)]
    # Imported where it is used: most sets have one box an image.
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment([[-iou(p, g) for g in gold] for p in predicted])
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True)]


def boxes_hit(predicted: str | None, gold: str, threshold: float) -> bool:
    """True if predicted and gold boxes (JSON lists) match one to one, each pair with IoU above the threshold.

    >>> boxes_hit("[[0, 0, 4, 3]]", "[[0, 0, 4, 4]]", 0.5), boxes_hit("[[0, 0, 4, 4], [9, 9, 10, 10]]", "[[0, 0, 4, 4]]", 0.5)
    (True, False)
    """
    found, truth = json.loads(predicted) if predicted else [], json.loads(gold)
    return len(found) == len(truth) and all(
        iou(found[i], truth[j]) > threshold for i, j in matched(found, truth)
    )


FRAMES = ("original", "resized", "relative")


def resized(size: tuple[int, int], min_pixels: int, max_pixels: int, patch: int = 28) -> tuple[int, int]:
    """(height, width) to which Qwen2.5-VL's processor resizes an image of `size`: multiples of `patch` within the pixel limits.

    >>> resized((450, 600), 3136, 200704)
    (364, 504)
    """
    height, width = (max(patch, round(side / patch) * patch) for side in size)
    if height * width > max_pixels:
        scale = math.sqrt(size[0] * size[1] / max_pixels)
        return tuple(max(patch, math.floor(side / scale / patch) * patch) for side in size)
    if height * width < min_pixels:
        scale = math.sqrt(min_pixels / (size[0] * size[1]))
        return tuple(math.ceil(side * scale / patch) * patch for side in size)
    return height, width


def to_original(
    box: Sequence[float],
    size: tuple[int, int] | None,
    frame: str,
    min_pixels: int = 3136,
    max_pixels: int = 12845056,
    patch: int = 28,
) -> list[float]:
    """`box` [x1, y1, x2, y2] of `frame` in pixels of the original image of `size` (height, width).

    >>> to_original([500, 0, 1000, 1000], (100, 200), "relative")
    [100.0, 0.0, 200.0, 100.0]
    """
    x, y = _scale(size, frame, min_pixels, max_pixels, patch)
    return [box[0] * x, box[1] * y, box[2] * x, box[3] * y]


def from_original(
    box: Sequence[float],
    size: tuple[int, int] | None,
    frame: str,
    min_pixels: int = 3136,
    max_pixels: int = 12845056,
    patch: int = 28,
) -> list[float]:
    """`box` [x1, y1, x2, y2] in pixels of the original image of `size` (height, width), in the numbers of `frame`.

    >>> from_original([100, 0, 200, 100], (100, 200), "relative")
    [500.0, 0.0, 1000.0, 1000.0]
    """
    x, y = _scale(size, frame, min_pixels, max_pixels, patch)
    return [box[0] / x, box[1] / y, box[2] / x, box[3] / y]


def _scale(size, frame: str, min_pixels: int, max_pixels: int, patch: int) -> tuple[float, float]:
    """(x, y): original pixels that one unit of `frame` is wide and high."""
    if frame == "original":
        return 1, 1
    height, width = (1000, 1000) if frame == "relative" else resized(size, min_pixels, max_pixels, patch)
    return size[1] / width, size[0] / height
