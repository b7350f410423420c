"""Boxes that people drew, in the four forms their tools write: COCO, Pascal VOC, YOLO and CSV.

Whatever the form, a box comes out as [x1, y1, x2, y2] in pixels from the image's upper left corner, x2 and y2
one past the last pixel: COCO's [x, y, width, height] is that already, VOC counts from 1 and includes the last
pixel, YOLO gives centre and size as shares of the image, and a CSV is taken as it stands.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from medical_rl.data.drops import Drops
from medical_rl.data.sources import files, json_files, tables
from medical_rl.errors import UserError

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
        classes = [] if voc else _class_names(path)
        for file in voc or yolo:
            try:
                boxes += _voc(file) if voc else _yolo(file, path, classes)
            except _Unusable as error:
                drops.add(f"boxes {file.name}", error.reason, error.detail)
            except (OSError, ValueError, ElementTree.ParseError) as error:
                drops.add(f"boxes {file.name}", "its box file cannot be read", str(error))
        return boxes
    if not path.is_file():
        raise UserError(
            f"There are no boxes at {path.absolute()}; give a COCO .json, a .csv, or a folder of VOC or YOLO."
        )
    return _coco(path) if path.suffix.lower() == ".json" else _csv(path, drops)


class _Unusable(Exception):
    """Why a box file is left out."""

    def __init__(self, reason: str, detail: str = ""):
        self.reason, self.detail = reason, detail


def _coco(path: Path) -> list[DrawnBox]:
    content = json_files.read_json(path)
    try:
        images = {image["id"]: str(image["file_name"]) for image in content["images"]}
        labels = {category["id"]: str(category["name"]) for category in content["categories"]}
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


def _class_names(folder: Path) -> list[str]:
    """The class names that labelling tools put beside YOLO files, [] where there are none."""
    path = folder / "classes.txt"
    try:
        return path.read_text(encoding="utf-8-sig").split("\n") if path.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path.absolute()} cannot be read as UTF-8 text: {error}. Save it as UTF-8."
        ) from error


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


def name_parts(name: str) -> tuple[str, ...]:
    r"""The folders of an image's name and its stem, however the tool wrote it.

    >>> name_parts("C:\\heel\\Sever\\7.JPG"), name_parts("images/7")
    (('C:', 'heel', 'Sever', '7'), ('images', '7'))
    """
    path = PurePosixPath(name.replace("\\", "/"))
    folders = [part for part in path.parts[:-1] if part not in ("/", ".", "..")]
    return tuple(folders) + (files.image_stem(path.name),)
