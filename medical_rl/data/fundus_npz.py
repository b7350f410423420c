"""Harvard-FairVLMed's `data_XXXXX.npz`: the fundus image as PNG, the patient's fields as plain values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from medical_rl.data import files, npz
from medical_rl.data.drops import Drops
from medical_rl.data.images import MAX_PIXELS, encode_png
from medical_rl.errors import UserError

# The published folders' names, and the splits they are.
FOLDERS = {"training": "train", "validation": "val", "test": "test"}

T = TypeVar("T")
IMAGE = "slo_fundus"
# What subgroup metrics ask for; the note itself stays in its file.
FIELDS = ("age", "gender", "race", "ethnicity", "language", "maritalstatus", "glaucoma", "md")


class FundusFiles:
    """The npz files of one copy of the dataset, as `medical_rl.data.question_rows` asks for them."""

    source, restricted = "fairvlmed", True

    def __init__(self, folder: Path) -> None:
        self.paths: dict[str, list[Path]] = {}
        for path in files.below(folder, (".npz",)):
            if match := re.fullmatch(r"data_(\d{5})", path.stem):
                self.paths.setdefault(match[1], []).append(path)

    def group(self, name: str) -> str:
        """The patient's five digits, from RULE's slo_fundus_XXXXX.jpg."""
        if match := re.search(r"slo_fundus_(\d{5})\.(?:jpg|jpeg|png)$", name):
            return match[1]
        raise UserError("the name of its image is not slo_fundus_<five digits>.jpg")

    def published(self, name: str) -> str | None:
        """The split of the folder that the file lies in; None where that is not one of the published folders."""
        paths = self.paths.get(self.group(name), [])
        return FOLDERS.get(paths[0].parent.name.lower()) if len(paths) == 1 else None

    def there(self, name: str) -> bool:
        """Whether a file has those digits."""
        return self.group(name) in self.paths

    def load(self, name: str, row: str, drops: Drops) -> tuple[tuple[bytes, ...], dict] | None:
        """The image as PNG and the patient's fields; None, told to `drops`, for a file that cannot be used."""

        def use(arrays: dict) -> tuple[tuple[bytes, ...], dict]:
            unread = {"unread": arrays["unread"]} if "unread" in arrays else {}
            return (encode_png(picture(arrays)),), {**fields(arrays), **unread}

        return self._used(self.group(name), row, drops, (IMAGE, *FIELDS), use)

    def notes(self, drops: Drops) -> Iterator[tuple[str, str, str]]:
        """(digits, split, note) of every file that holds a note; a file that cannot be used is told to `drops`."""
        for digits, paths in sorted(self.paths.items()):
            if text := self._used(digits, f"note {digits}", drops, ("note",), note):
                yield digits, FOLDERS.get(paths[0].parent.name.lower(), ""), text

    def _used(self, digits: str, row: str, drops: Drops, names: tuple[str, ...], use: Callable[[dict], T]) -> T | None:
        paths = self.paths[digits]
        if len(paths) > 1:
            where = ", ".join(path.parent.name for path in paths)
            return drops.add(row, "its npz file is there more than once", f"{paths[0].name} in {where}")
        try:
            # A field of Python objects costs that field and not the picture.
            arrays = npz.read(paths[0], 8 * MAX_PIXELS, only=names, objects=(unread := []))
            if IMAGE in unread:
                raise UserError(f"it holds Python objects in {IMAGE}, which are never read")
            return use({**arrays, "unread": unread} if unread else arrays)
        except UserError as error:
            # The path of a person's file is not for a card; its name is.
            told = str(error).replace(str(paths[0].absolute()), paths[0].name)
            return drops.add(row, "its npz file cannot be used", told)


def note(arrays: dict[str, np.ndarray]) -> str:
    """The patient's note, "" where there is none."""
    found = arrays.get("note")
    if found is None or found.dtype.kind != "U" or not found.size:
        return ""
    return str(found.reshape(-1)[0]).strip()


def picture(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The fundus image as uint8, `H x W` or `H x W x 3`; UserError if it is none or would lose anything as uint8."""
    image = arrays.get(IMAGE)
    if image is None:
        raise UserError(f"it holds no {IMAGE}, only {', '.join(arrays) or 'nothing'}")
    if image.dtype.kind not in "uif" or 0 in image.shape or not (image.ndim == 2 or image.shape[2:] == (3,)):
        raise UserError(f"{IMAGE} is {image.dtype} {image.shape}, not an image")
    if math.prod(image.shape[:2]) > MAX_PIXELS:
        raise UserError(f"{IMAGE} has {math.prod(image.shape[:2]):,} pixels; more than {MAX_PIXELS:,} are not read")
    if image.dtype == np.uint8:
        return image
    # Some tools store grey levels as float: kept where every one is a whole number from 0 to 255, never scaled.
    if not (np.isfinite(image).all() and (image == np.round(image)).all() and image.min() >= 0 and image.max() <= 255):
        raise UserError(f"{IMAGE} is {image.dtype} with values that are not whole numbers from 0 to 255")
    return image.astype(np.uint8)


def fields(arrays: dict[str, np.ndarray]) -> dict:
    """The patient's fields as numbers and texts; NaN, blank and absent ones are None."""
    return {name: _plain(arrays[name]) if name in arrays else None for name in FIELDS}


def _plain(array: np.ndarray):
    """The single value of an array, None where it is NaN, blank or not single.

    >>> _plain(np.array([62.0])), _plain(np.array(float("nan"))), _plain(np.array(" "))
    (62.0, None, None)
    """
    if array.size != 1:
        return None
    value = array.reshape(-1)[0].item()
    if isinstance(value, str):
        return value.strip() or None
    return None if not isinstance(value, int | float) or not math.isfinite(value) else value
