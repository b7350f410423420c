"""Boxes from segmentation masks.

A box is [x1, y1, x2, y2] in pixels of the image, x to the right and y downwards, x2 and y2 one past the last
marked column and row: a mask of one pixel at column 3, row 5 gives [3, 5, 4, 6], whose area is 1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from medical_rl.data.drops import Drops
from medical_rl.data.sources import files

PARTS = ("union", "largest")


def marked(image: Image.Image) -> np.ndarray:
    """A boolean H x W array: the pixels of a decoded (RGB) mask brighter than half of its brightest.

    >>> marked(Image.new("RGB", (3, 2))).any()
    np.False_
    """
    grey = np.asarray(image).max(axis=2)
    # Masks come as {0, 255} and as {0, 1}; a mask saved as JPEG has faint grey around its edges.
    return grey > grey.max() / 2


def box(mask: np.ndarray, part: str = "union") -> list[int] | None:
    """The box around all that is marked ("union") or around its largest connected part ("largest"); None if nothing is.

    >>> mask = np.zeros((9, 9), bool)
    >>> mask[5, 3] = True
    >>> box(mask)
    [3, 5, 4, 6]
    """
    if part == "largest":
        mask = _largest(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def drawn(image: str, picture: files.Picture, masks: Sequence[Path], part: str, drops: Drops) -> str | None:
    """The box that an image's mask draws, as JSON; None, told to `drops`, without one mask that fits."""
    if (mask := files.only(masks, image, drops, "mask")) is None:
        return None
    if mask.size != picture.size:
        return drops.add(
            image, "its mask has another size than the image", f"{mask.size}, image {picture.size}"
        )
    if (found := box(marked(mask.image), part)) is None:
        return drops.add(image, "its mask is empty")
    return json.dumps(found)


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest of the parts connected by sides or corners; of equals, the first from above."""
    from scipy import ndimage

    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count < 2:
        return mask
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
