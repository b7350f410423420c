"""Boxes that people drew, in the four forms their tools write: COCO, Pascal VOC, YOLO and CSV.

Whatever the form, a box comes out as [x1, y1, x2, y2] in pixels from the image's upper left corner, x2 and y2
one past the last pixel: COCO's [x, y, width, height] is that already, VOC counts from 1 and includes the last
pixel, YOLO gives centre and size as shares of the image, and a CSV is taken as it stands.
"""

from __future__ import annotations

import math
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


class Drawn(NamedTuple):
    """One drawn box: the image's name as the file gives it, its label, four numbers, and whether they are shares."""

    image: str
    label: str
    sides: tuple[float, float, float, float]
    relative: bool = False

    def pixels(self, size: tuple[int, int]) -> list[float] | None:
        """The box within an image of (height, width); None where it is empty or reaches more than a pixel outside."""
        height, width = size
        scale = (width, height, width, height) if self.relative else (1, 1, 1, 1)
        x1, y1, x2, y2 = (side * by for side, by in zip(self.sides, scale, strict=True))
        if (
            not all(map(math.isfinite, (x1, y1, x2, y2)))
            or min(x1, y1) < -1
            or x2 > width + 1
            or y2 > height + 1
        ):
            return None
        inside = [max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)]
        box = [int(v) if v == int(v) else round(v, 2) for v in inside]
        return box if box[0] < box[2] and box[1] < box[3] else None


def read(path: Path, drops: Drops) -> list[Drawn]:
    """The boxes in a COCO .json, a .csv, or a folder of VOC .xml or YOLO .txt files; what cannot be read goes to `drops`."""
    if path.is_dir():
        if found := files.below(path, (".xml",)):
            return [drawn for file in found for drawn in _voc(file, drops)]
        names = [
            file for file in files.below(path, (".txt",)) if file.name not in ("classes.txt", "obj.names.txt")
        ]
        if names:
            classes = _classes(path)
            return [drawn for file in names for drawn in _yolo(file, path, classes, drops)]
        raise UserError(f"{path.absolute()} holds no box files: neither VOC (.xml) nor YOLO (.txt).")
    if not path.is_file():
        raise UserError(
            f"There are no boxes at {path.absolute()}; give a COCO .json, a .csv, or a folder of VOC or YOLO."
        )
    return _coco(path) if path.suffix.lower() == ".json" else _csv(path, drops)


def _coco(path: Path) -> list[Drawn]:
    content = json_files.read(path)
    try:
        images = {image["id"]: str(image["file_name"]) for image in content["images"]}
        labels = {category["id"]: str(category["name"]) for category in content["categories"]}
        boxes = [
            (one["image_id"], one["category_id"], [float(v) for v in one["bbox"]])
            for one in content["annotations"]
        ]
        return [
            Drawn(images[image], labels.get(label, ""), (x, y, x + width, y + height))
            for image, label, (x, y, width, height) in boxes
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        told = f"{type(error).__name__}: {error}"
        raise UserError(
            f"{path.absolute()} is not COCO (images, categories, annotations with bbox [x, y, width, height]): {told}."
        ) from error


def _voc(file: Path, drops: Drops) -> list[Drawn]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            # VOC needs neither, and entities can be made to grow without end.
            return drops.add(f"boxes {file.name}", "its box file declares XML entities") or []
        root = ElementTree.fromstring(text)
        image = root.findtext("filename") or file.stem
        found = []
        for one in root.iter("object"):
            x1, y1, x2, y2 = (float(one.findtext(f"bndbox/{side}") or "") for side in SIDES[1])
            found.append(Drawn(image, (one.findtext("name") or "").strip(), (x1 - 1, y1 - 1, x2, y2)))
    except (OSError, ValueError, ElementTree.ParseError) as error:
        return drops.add(f"boxes {file.name}", "its box file cannot be read", str(error)) or []
    return found


def _yolo(file: Path, folder: Path, classes: list[str], drops: Drops) -> list[Drawn]:
    found = []
    try:
        for line in file.read_text(encoding="utf-8-sig").splitlines():
            if line.strip():
                # A sixth field is a detector's confidence.
                if (n := len(fields := line.split())) not in (5, 6):
                    return drops.add(f"boxes {file.name}", NO_BOX, f"a line of {n} fields") or []
                label, x, y, width, height = fields[:5]
                x, y, width, height = float(x), float(y), float(width), float(height)
                sides = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
                name = classes[int(label)] if 0 <= int(label) < len(classes) else label
                found.append(
                    Drawn(file.relative_to(folder).with_suffix("").as_posix(), name, sides, relative=True)
                )
    except (OSError, ValueError) as error:
        return drops.add(f"boxes {file.name}", "its box file cannot be read", str(error)) or []
    return found


def _classes(folder: Path) -> list[str]:
    """The class names that labelling tools put beside YOLO files, [] where there are none."""
    path = folder / "classes.txt"
    try:
        return path.read_text(encoding="utf-8-sig").split("\n") if path.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path.absolute()} cannot be read as UTF-8 text: {error}. Save it as UTF-8."
        ) from error


def _csv(path: Path, drops: Drops) -> list[Drawn]:
    names = tables.columns(path)
    image = next((name for name in IMAGE_NAMES if name in names), None)
    sides = next((four for four in SIDES if set(four) <= set(names)), None)
    if image is None or sides is None:
        raise UserError(
            f"{path.absolute()} has the columns {', '.join(names) or 'none'}; boxes need one of {', '.join(IMAGE_NAMES)} "
            f"and {', '.join(SIDES[0])} (or {', '.join(SIDES[1])}), and may have label or class."
        )
    found = []
    for line, row in tables.read(path, (image, *sides)):
        try:
            numbers = tuple(float(row[side]) for side in sides)
        except ValueError as error:
            drops.add(f"line {line} of {path.name}", "its box is not four numbers", str(error))
            continue
        found.append(Drawn(row[image], row.get("label") or row.get("class") or "", numbers))
    return found


def parts(name: str) -> tuple[str, ...]:
    r"""The folders of an image's name and its stem, however the tool wrote it.

    >>> parts("C:\\heel\\Sever\\7.JPG"), parts("images/7")
    (('C:', 'heel', 'Sever', '7'), ('images', '7'))
    """
    path = PurePosixPath(name.replace("\\", "/"))
    return (*(part for part in path.parts[:-1] if part not in ("/", ".", "..")), files.stem(path.name))
