"""Boxes [x1, y1, x2, y2] in pixels: how far two agree, and the frames in which they may be given.

x runs to the right and y downwards from the upper left; x2 and y2 are one past the last column and row.

original  pixels of the image as it was annotated: Sample.size, gold boxes, `pred` of predictions/*.jsonl
resized   pixels after Qwen2.5-VL's processor: multiples of 28 within the pixel limits
relative  thousandths of the width and of the height

A prompt names the frame that it asks in (conf/prompt/detection*.yaml: `frame`): targets are put into it, and
answers read in it.
"""

import json
import math
from collections.abc import Sequence

Box = Sequence[float]
FRAMES = ("original", "resized", "relative")


def area(box: Box) -> float:
    """Square pixels of a box; 0 where a side is not positive."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def iou(one: Box, other: Box) -> float:
    """Intersection over union in [0, 1]; 0 where both are empty.

    >>> iou([0, 0, 2, 2], [1, 0, 3, 2]), iou([1, 1, 2, 2], [1, 1, 2, 2])
    (0.3333333333333333, 1.0)
    """
    upper_left = [max(one[0], other[0]), max(one[1], other[1])]
    lower_right = [min(one[2], other[2]), min(one[3], other[3])]
    shared = area(upper_left + lower_right)
    union = area(one) + area(other) - shared
    return shared / union if union > 0 else 0.0


def within(box: Box, size: tuple[int, int] | None) -> bool:
    """Whether a box lies in the image of `size` (height, width), give or take a hundredth of a side.

    That (at least a pixel) is what rounding to another frame may cost. Without a size nothing is known: True.

    >>> within([0, 0, 201, 100], (100, 200)), within([0, 0, 240, 100], (100, 200))
    (True, False)
    """
    if size is None:
        return True
    spare_y, spare_x = (max(1.0, side / 100) for side in size)
    right, bottom = size[1] + spare_x, size[0] + spare_y
    return (
        min(box[0], box[2]) >= -spare_x
        and max(box[0], box[2]) <= right
        and (min(box[1], box[3]) >= -spare_y and max(box[1], box[3]) <= bottom)
    )


def first_iou(predicted: str | None, gold: str) -> float:
    """IoU of the first predicted box with the first gold one, both JSON lists as `read` gives them."""
    boxes = json.loads(predicted) if predicted else []
    return iou(boxes[0], json.loads(gold)[0]) if boxes else 0.0


def match_boxes(predicted: Sequence[Box], gold: Sequence[Box]) -> list[tuple[int, int]]:
    """Pairs (predicted, gold) of indices, one to one, with the largest sum of IoU."""
    if len(predicted) == 1 and len(gold) == 1:
        return [(0, 0)]
    # Imported where it is used: most sets have one box an image.
    from scipy.optimize import linear_sum_assignment

    costs = [[-iou(one, other) for other in gold] for one in predicted]
    rows, columns = linear_sum_assignment(costs)
    return list(zip(map(int, rows), map(int, columns), strict=True))


def boxes_hit(predicted: str | None, gold: str, threshold: float) -> bool:
    """Whether two JSON lists of boxes match one to one, each pair with IoU above the threshold.

    >>> gold = "[[0, 0, 4, 4]]"
    >>> boxes_hit("[[0, 0, 4, 3]]", gold, 0.5), boxes_hit("[[0, 0, 4, 4], [9, 9, 10, 10]]", gold, 0.5)
    (True, False)
    """
    boxes, truth = json.loads(predicted) if predicted else [], json.loads(gold)
    if len(boxes) != len(truth):
        return False
    return all(iou(boxes[i], truth[j]) > threshold for i, j in match_boxes(boxes, truth))


def resized(size: tuple[int, int], min_pixels: int, max_pixels: int, patch: int = 28) -> tuple[int, int]:
    """(height, width) after Qwen2.5-VL's processor: multiples of `patch` within the pixel limits.

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
    box: Box, size, frame: str, min_pixels: int = 3136, max_pixels: int = 12845056, patch: int = 28
) -> list[float]:
    """`box` of `frame` in pixels of the original image of `size` (height, width)."""
    x, y = _unit(size, frame, min_pixels, max_pixels, patch)
    return [box[0] * x, box[1] * y, box[2] * x, box[3] * y]


def from_original(
    box: Box, size, frame: str, min_pixels: int = 3136, max_pixels: int = 12845056, patch: int = 28
) -> list[float]:
    """`box` in pixels of the original image of `size` (height, width), in the numbers of `frame`.

    >>> from_original([100, 0, 200, 100], (100, 200), "relative")
    [500.0, 0.0, 1000.0, 1000.0]
    """
    x, y = _unit(size, frame, min_pixels, max_pixels, patch)
    return [box[0] / x, box[1] / y, box[2] / x, box[3] / y]


def _unit(size, frame: str, min_pixels: int, max_pixels: int, patch: int) -> tuple[float, float]:
    """(x, y): original pixels that one unit of `frame` is wide and high."""
    if frame == "original":
        return 1, 1
    height, width = (1000, 1000) if frame == "relative" else resized(size, min_pixels, max_pixels, patch)
    return size[1] / width, size[0] / height
