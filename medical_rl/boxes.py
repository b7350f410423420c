"""Boxes [x1, y1, x2, y2] in pixels, x to the right and y downwards."""

from __future__ import annotations

import json
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
    shared = area([max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])])
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
    return len(found) == len(truth) and all(iou(found[i], truth[j]) > threshold for i, j in matched(found, truth))
