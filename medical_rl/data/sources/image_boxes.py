"""The boxes of an image: drawn boxes matched with their images, and boxes around the marks of a mask.

A box is [x1, y1, x2, y2] in pixels of the image, x to the right and y downwards, x2 and y2 one past the last
marked column and row: a mask of one pixel at column 3, row 5 gives [3, 5, 4, 6], whose area is 1.
"""

import collections
import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from medical_rl.boxes import area
from medical_rl.data.drops import Drops
from medical_rl.data.sources import box_annotations, files
from medical_rl.data.sources.box_annotations import DrawnBox
from medical_rl.sample import Sample

# Several boxes of an image, or several parts of a mask: one box around all, or the largest.
SEVERAL = PARTS = ("union", "largest")


def match_to_images(
    drawn: Iterable[DrawnBox],
    images: Mapping[Path, str],
    class_of: Callable[[str], str | None],
    drops: Drops,
) -> dict[Path, list[DrawnBox]]:
    """{image: its boxes} for `images` ({path: class}); a box of no one image goes to `drops`.

    Names are compared without folders and suffixes. Class folders may share file names, so where a folder of
    the box's image, or else the box's label, is a class (`class_of` knows), the image must be of that class.
    """
    by_stem = collections.defaultdict(list)
    for path, class_name in images.items():
        by_stem[files.image_stem(path.name)].append((path, class_name))
    matched = collections.defaultdict(list)
    for box in drawn:
        *folders, stem = box_annotations.name_parts(box.image)
        classes = filter(None, map(class_of, [*reversed(folders), box.label]))
        required = next(classes, None)
        fitting = [path for path, class_name in by_stem.get(stem, ()) if required in (None, class_name)]
        if len(fitting) == 1:
            matched[fitting[0]].append(box)
        else:
            detail = f"{len(fitting)} images fit" if fitting else "no image fits"
            drops.add(f"box of {box.image} {list(box.sides)}", "a box is of no one image", detail)
    return matched


def joined_box(boxes: list[list[float]], several: str) -> list[float]:
    """One box: around all of them ("union"), or the one of largest area ("largest").

    >>> boxes = [[0, 0, 2, 2], [5, 1, 9, 9]]
    >>> joined_box(boxes, "union"), joined_box(boxes, "largest")
    ([0, 0, 9, 9], [5, 1, 9, 9])
    """
    if several == "largest":
        return max(boxes, key=area)
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return [min(x1), min(y1), max(x2), max(y2)]


def box_questions(
    samples: Iterable[Sample], folder: Path, drawn, several: str, question: str, normal: str, drops: Drops
) -> Iterator[Sample]:
    """The samples of kind "box", each asking `question` for its finding's box.

    A sample names its file in meta["file"], below `folder`, and its finding in its answer; `normal` has no
    box. One without a box to use goes to `drops`.
    """
    for sample in samples:
        row, finding = sample.meta["file"], sample.answer
        of_image = drawn.get(folder / row, [])
        boxes = [box.pixels(sample.size) for box in of_image]
        if not boxes:
            drops.add(row, "no box is given for it")
        elif finding == normal:
            drops.add(row, "it is normal and yet has a box")
        elif None in boxes:
            sides = list(of_image[boxes.index(None)].sides)
            detail = f"{sides} in an image of {sample.size} (height, width)"
            drops.add(row, "its box is empty or outside the image", detail)
        else:
            yield dataclasses.replace(
                sample,
                source=f"{sample.source}_boxes",
                question=question.format(finding=finding),
                kind="box",
                answer=json.dumps(joined_box(boxes, several)),
                choices=(),
                meta={"file": row, "finding": finding, "boxes": len(boxes)},
            )


def marked_pixels(image: Image.Image) -> np.ndarray:
    """A boolean H x W array: the pixels of a decoded (RGB) mask brighter than half of its brightest.

    >>> marked_pixels(Image.new("RGB", (3, 2))).any()
    np.False_
    """
    grey = np.asarray(image).max(axis=2)
    # Masks come as {0, 255} and as {0, 1}; a mask saved as JPEG has faint grey around its edges.
    return grey > grey.max() / 2


def mask_box(mask: np.ndarray, part: str = "union") -> list[int] | None:
    """The box around all marks ("union") or their largest connected part ("largest"); None without any.

    >>> mask = np.zeros((9, 9), bool)
    >>> mask[5, 3] = True
    >>> mask_box(mask)
    [3, 5, 4, 6]
    """
    if part == "largest":
        mask = _largest_part(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def mask_box_answer(
    image: str, picture: files.Picture, masks: Sequence[Path], part: str, drops: Drops
) -> str | None:
    """The box that an image's mask draws, as JSON; None, told to `drops`, without one mask that fits."""
    mask = files.read_only_picture(masks, image, drops, "mask")
    if mask is None:
        return None
    if mask.size != picture.size:
        sizes = f"{mask.size}, image {picture.size}"
        return drops.add(image, "its mask has another size than the image", sizes)
    box = mask_box(marked_pixels(mask.image), part)
    if box is None:
        return drops.add(image, "its mask is empty")
    return json.dumps(box)


def _largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest of the parts connected by sides or corners; of equals, the first from above."""
    from scipy import ndimage

    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count < 2:
        return mask
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
