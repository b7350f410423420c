"""Drawn boxes brought together with their images, and several boxes of an image made one."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from medical_rl.boxes import area
from medical_rl.data import box_files, files
from medical_rl.data.box_files import Drawn
from medical_rl.data.drops import Drops

SEVERAL = ("union", "largest")


def match(
    drawn: Iterable[Drawn], images: Mapping[Path, str], class_of: Callable[[str], str | None], drops: Drops
) -> dict[Path, list[Drawn]]:
    """{image: its boxes} for `images` ({path: class}); a box of no one image goes to `drops`.

    Names are compared without folders and suffixes. Class folders may share file names, so where a folder of
    the box's image, or else the box's label, is a class (`class_of` knows), the image must be of that class.
    """
    by_stem = collections.defaultdict(list)
    for path, name in images.items():
        by_stem[files.stem(path.name)].append((path, name))
    matched = collections.defaultdict(list)
    for one in drawn:
        *folders, stem = box_files.parts(one.image)
        known = next((name for part in [*reversed(folders), one.label] if (name := class_of(part))), None)
        fitting = [path for path, name in by_stem.get(stem, ()) if known in (None, name)]
        if len(fitting) == 1:
            matched[fitting[0]].append(one)
        else:
            told = f"{len(fitting)} images fit" if fitting else "no image fits"
            drops.add(f"box of {one.image} {list(one.sides)}", "a box is of no one image", told)
    return matched


def joined(boxes: list[list[float]], several: str) -> list[float]:
    """One box: around all of them ("union"), or the one of largest area ("largest").

    >>> joined([[0, 0, 2, 2], [5, 1, 9, 9]], "union"), joined([[0, 0, 2, 2], [5, 1, 9, 9]], "largest")
    ([0, 0, 9, 9], [5, 1, 9, 9])
    """
    if several == "largest":
        return max(boxes, key=area)
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return [min(x1), min(y1), max(x2), max(y2)]
