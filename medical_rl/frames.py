"""The frames in which a box may be given: original pixels, the processor's resized pixels, or 0 to 1000."""

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
    if frame == "original":
        return list(box)
    height, width = (1000, 1000) if frame == "relative" else resized(size, min_pixels, max_pixels, patch)
    x, y = size[1] / width, size[0] / height
    return [box[0] * x, box[1] * y, box[2] * x, box[3] * y]
