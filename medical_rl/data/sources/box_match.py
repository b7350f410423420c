"""Drawn boxes brought together with their images, and several boxes of an image made one."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from medical_rl.boxes import area
from medical_rl.data.drops import Drops
from medical_rl.data.sources import box_files, files
from medical_rl.data.sources.box_files import Drawn
from medical_rl.sample import Sample

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


def asked(
    samples: Iterable[Sample], folder: Path, drawn, several: str, question: str, normal: str, drops: Drops
) -> Iterator[Sample]:
    """The samples of kind "box", each asking `question` for its finding's box; one without a box to use goes to `drops`.

    A sample names its file in meta["file"], below `folder`, and its finding in its answer; `normal` has no box.
    """
    for sample in samples:
        row, finding = sample.meta["file"], sample.answer
        boxes = drawn.get(folder / row, [])
        found = [one.pixels(sample.size) for one in boxes]
        if not boxes:
            drops.add(row, "no box is given for it")
        elif finding == normal:
            drops.add(row, "it is normal and yet has a box")
        elif None in found:
            told = f"{list(boxes[found.index(None)].sides)} in an image of {sample.size} (height, width)"
            drops.add(row, "its box is empty or outside the image", told)
        else:
            yield dataclasses.replace(
                sample,
                source=f"{sample.source}_boxes",
                question=question.format(finding=finding),
                kind="box",
                answer=json.dumps(joined(found, several)),
                choices=(),
                meta={"file": row, "finding": finding, "boxes": len(found)},
            )
