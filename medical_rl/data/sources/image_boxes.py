"""The boxes of an image: those that people drew, matched with their images, and those around a mask's marks.

A box is [x1, y1, x2, y2] in pixels of the image, x to the right and y downwards, x2 and y2 one past the last
marked column and row: a mask of one pixel at column 3, row 5 gives [3, 5, 4, 6], whose area is 1.

Drawn boxes come in the four forms that tools write: COCO's [x, y, width, height] is that already, Pascal VOC
counts from 1 and includes the last pixel, YOLO gives centre and size as shares of the image, a CSV is taken
as it stands.
"""

import collections
import dataclasses
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from medical_rl.boxes import area
from medical_rl.data.options import text_of
from medical_rl.data.rows import Drops
from medical_rl.data.sources import files, tables
from medical_rl.errors import UserError
from medical_rl.sample import Sample

# Several boxes of an image, or several parts of a mask: one box around all, or the largest.
SEVERAL = PARTS = ("union", "largest")
NO_BOX = "a line of its box file has neither 5 nor 6 fields: an outline is no box"
# A CSV's names for the four sides; the first set that is there is used.
SIDES = (("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"))
IMAGE_NAMES = ("image", "filename", "file_name", "image_id", "image_path", "path")


class DrawnBox(NamedTuple):
    """A drawn box: the image's name in its file, its label, four numbers, and whether they are shares."""

    image: str
    label: str
    sides: tuple[float, float, float, float]
    relative: bool = False

    def pixels(self, size: tuple[int, int]) -> list[float] | None:
        """The box within an image of (height, width); None if empty or more than a pixel outside."""
        height, width = size
        x1, y1, x2, y2 = self.sides
        if self.relative:
            x1, y1, x2, y2 = x1 * width, y1 * height, x2 * width, y2 * height
        # not (...): a side that is no number is outside too
        if not (-1 <= x1 < x2 <= width + 1 and -1 <= y1 < y2 <= height + 1):
            return None
        inside = [max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)]
        box = [int(side) if side == int(side) else round(side, 2) for side in inside]
        return box if box[0] < box[2] and box[1] < box[3] else None


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
        # A tool of Windows writes C:\heel\Sever\7.JPG.
        name = PurePosixPath(box.image.replace("\\", "/"))
        folders, stem = name.parts[:-1], files.image_stem(name.name)
        classes = filter(None, map(class_of, [*reversed(folders), box.label]))
        required = next(classes, None)
        fitting = [path for path, class_name in by_stem.get(stem, ()) if required in (None, class_name)]
        if len(fitting) == 1:
            matched[fitting[0]].append(box)
        else:
            detail = f"{len(fitting)} images fit" if fitting else "no image fits"
            drops.add(f"box of {box.image} {list(box.sides)}", "a box is of no one image", detail)
    return matched


def box_questions(
    samples: Iterable[Sample],
    folder: Path,
    drawn,
    several: str,
    question: str,
    normal: str | None,
    drops: Drops,
) -> Iterator[Sample]:
    """The samples of kind "box", each asking `question` for the box of its image.

    normal  None where the box is of what every image shows, and nothing may tell the class; else the answer
            that has no box, and question and meta name the finding, which is the sample's answer

    A sample names its file in meta["file"], below `folder`. One without a box to use goes to `drops`.
    """
    for sample in samples:
        row, finding = sample.meta["file"], sample.answer
        of_image = drawn.get(folder / row, [])
        boxes = [box.pixels(sample.size) for box in of_image]
        if not boxes:
            drops.add(row, "no box is given for it")
        elif normal is not None and finding == normal:
            drops.add(row, "it is normal and yet has a box")
        elif None in boxes:
            sides = list(of_image[boxes.index(None)].sides)
            detail = f"{sides} in an image of {sample.size} (height, width)"
            drops.add(row, "its box is empty or outside the image", detail)
        else:
            x1, y1, x2, y2 = zip(*boxes, strict=True)
            around = [min(x1), min(y1), max(x2), max(y2)]
            box = max(boxes, key=area) if several == "largest" else around
            yield dataclasses.replace(
                sample,
                source=f"{sample.source}_boxes",
                question=question if normal is None else question.format(finding=finding),
                kind="box",
                answer=json.dumps(box),
                choices=(),
                meta={"file": row} | ({"finding": finding} if normal else {}) | {"boxes": len(boxes)},
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
    """The box around all marks ("union") or their largest connected part ("largest"); None without any."""
    if part == "largest":
        from scipy import ndimage

        # Parts are connected by sides or corners; of equals it is the first from above.
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        if count > 1:
            mask = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
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


def read_boxes(path: Path, drops: Drops) -> list[DrawnBox]:
    """The boxes in a COCO .json, a .csv, or a folder of VOC .xml or YOLO .txt files.

    What cannot be read goes to `drops`.
    """
    if path.is_dir():
        boxes: list[DrawnBox] = []
        voc, yolo = files.below(path, (".xml",)), files.below(path, (".txt",))
        yolo = [file for file in yolo if file.name not in ("classes.txt", "obj.names.txt")]
        if not voc and not yolo:
            raise UserError(f"{path.absolute()} holds no box files: neither VOC (.xml) nor YOLO (.txt).")
        classes, names = [], path / "classes.txt"  # labelling tools put it beside YOLO files
        if not voc and names.is_file():
            try:
                classes = names.read_text(encoding="utf-8-sig").split("\n")
            except (OSError, UnicodeDecodeError) as error:
                told = f"{names.absolute()} cannot be read as UTF-8 text: {error}. Save it as UTF-8."
                raise UserError(told) from error
        for file in voc or yolo:
            try:
                boxes += _voc(file) if voc else _yolo(file, path, classes)
            except _Unusable as error:
                drops.add(f"boxes {file.name}", *error.args)
            except (OSError, ValueError, ElementTree.ParseError) as error:
                drops.add(f"boxes {file.name}", "its box file cannot be read", str(error))
        return boxes
    if not path.is_file():
        raise UserError(
            f"There are no boxes at {path.absolute()}; give a COCO .json, a .csv, or a folder of VOC or YOLO."
        )
    return _coco(path) if path.suffix.lower() == ".json" else _csv(path, drops)


class _Unusable(Exception):
    """The reason, and the detail, why a box file is left out."""


def _coco(path: Path) -> list[DrawnBox]:
    content = tables.read_json(path)
    try:
        images = {image["id"]: text_of(image["file_name"], "a file_name") for image in content["images"]}
        labels = {category["id"]: text_of(category["name"], "a name") for category in content["categories"]}
        boxes = []
        for annotation in content["annotations"]:
            x, y, width, height = map(float, annotation["bbox"])
            label = labels.get(annotation["category_id"], "")
            boxes.append(DrawnBox(images[annotation["image_id"]], label, (x, y, x + width, y + height)))
        return boxes
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path.absolute()} is not COCO (images, categories, annotations with bbox [x, y, width, "
            f"height]): {type(error).__name__}: {error}."
        ) from error


def _voc(file: Path) -> list[DrawnBox]:
    text = file.read_text(encoding="utf-8-sig")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        # VOC needs neither, and entities can be made to grow without end.
        raise _Unusable("its box file declares XML entities")
    root = ElementTree.fromstring(text)
    image = root.findtext("filename") or file.stem
    boxes = []
    for item in root.iter("object"):
        x1, y1, x2, y2 = (float(item.findtext(f"bndbox/{side}") or "") for side in SIDES[1])
        boxes.append(DrawnBox(image, (item.findtext("name") or "").strip(), (x1 - 1, y1 - 1, x2, y2)))
    return boxes


def _yolo(file: Path, folder: Path, classes: list[str]) -> list[DrawnBox]:
    image = file.relative_to(folder).with_suffix("").as_posix()
    boxes = []
    for line in file.read_text(encoding="utf-8-sig").splitlines():
        fields = line.split()
        if not fields:
            continue
        if len(fields) not in (5, 6):  # a sixth field is a detector's confidence
            raise _Unusable(NO_BOX, f"a line of {len(fields)} fields")
        label = fields[0]
        x, y, width, height = map(float, fields[1:5])
        sides = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        name = classes[int(label)] if 0 <= int(label) < len(classes) else label
        boxes.append(DrawnBox(image, name, sides, relative=True))
    return boxes


def _csv(path: Path, drops: Drops) -> list[DrawnBox]:
    names = tables.column_names(path)
    image = next((name for name in IMAGE_NAMES if name in names), None)
    sides = next((four for four in SIDES if set(four) <= set(names)), None)
    if image is None or sides is None:
        raise UserError(
            f"{path.absolute()} has the columns {', '.join(names) or 'none'}; boxes need one of "
            f"{', '.join(IMAGE_NAMES)} and {', '.join(SIDES[0])} (or {', '.join(SIDES[1])}), and may have "
            "label or class."
        )
    boxes = []
    for line, row in tables.read_table(path, (image, *sides)):
        try:
            numbers = tuple(float(row[side]) for side in sides)
        except ValueError as error:
            drops.add(f"line {line} of {path.name}", "its box is not four numbers", str(error))
            continue
        boxes.append(DrawnBox(row[image], row.get("label") or row.get("class") or "", numbers))
    return boxes
