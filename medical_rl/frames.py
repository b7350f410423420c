"""The frames in which a box may be given: original pixels, the processor's resized pixels, or 0 to 1000.

original  pixels of the image as it was annotated, Sample.size; every gold box of a row, every `pred` of predictions/*.jsonl
resized   pixels of the picture after Qwen2.5-VL's processor has resized it to multiples of 28 within the pixel limits
relative  thousandths of the width and of the height

x runs to the right and y downwards from the upper left corner; x2 and y2 are one past the last column and row. A prompt names the
frame that it asks in (conf/prompt/detection*.yaml: `frame`); the supervised target is put into it, and what a model says is
read in it by the reward (conf/rewards/vrft_detection.yaml) and by the evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

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
