"""HAM10000's tables in the forms they come in: metadata (8 or 7 columns, CSV or tab) and one-hot ground truth."""

from __future__ import annotations

import collections
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from medical_rl.answers import normalise
from medical_rl.data import files, tables
from medical_rl.data.drops import Drops
from medical_rl.errors import UserError

# The names that DermaMNIST, which is built from these images, gives the same classes.
CLASSES = {
    "akiec": "actinic keratoses and intraepithelial carcinoma",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis-like lesions",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevi",
    "vasc": "vascular lesions",
}
# Other spellings that mirrors use, normalised. Those of bkl and akiec are diagnoses that the class joins.
ALIASES = {
    "akiec": ("actinic keratosis", "actinic keratoses", "intraepithelial carcinoma", "bowen s disease"),
    "bcc": ("basal cell carcinomas",),
    "bkl": ("benign keratosis", "benign keratosis like lesion", "seborrheic keratosis", "solar lentigo"),
    "df": ("dermatofibromas",),
    "mel": ("melanomas", "malignant melanoma"),
    "nv": ("melanocytic nevus", "melanocytic naevi", "melanocytic naevus", "nevus", "nevi"),
    "vasc": ("vascular lesion", "vascular"),
}
OFFICIAL = {"nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115}
METADATA = ("lesion_id", "image_id", "dx")
ONE_HOT = ("image", *(code.upper() for code in CLASSES))


class Lesion(NamedTuple):
    """One image of the table: its lesion ("" where not known), class code and what else is known of the patient."""

    image: str
    lesion: str
    dx: str
    meta: dict


class Table(NamedTuple):
    """The usable rows of a table, and sentences on how it differs from the published one."""

    path: Path
    lesions: tuple[Lesion, ...]
    altered: tuple[str, ...]

    @property
    def alone(self) -> int:
        """How many images have no lesion named."""
        return sum(not lesion.lesion for lesion in self.lesions)

    @property
    def unit(self) -> str:
        """What a split keeps whole."""
        mixed = "lesion, or image where none is named"
        return "lesion" if not self.alone else "image" if self.alone == len(self.lesions) else mixed


def load(folder: Path, name: str | None, drops: Drops) -> Table:
    """The table `name` of the folder, or the one that is found there; rows it cannot use go to `drops`."""
    path = tables.find(folder, (METADATA, ONE_HOT), name, "A table of HAM10000", "HAM10000_metadata")
    there = tables.columns(path)
    if set(METADATA) <= set(there):
        found, altered = _metadata(path, drops)
    elif set(ONE_HOT) <= set(there):
        found, altered = _one_hot(path, _groupings(folder), drops), []
    else:
        raise UserError(
            f"{path.absolute()} has the columns {', '.join(there) or 'none'}; a table of HAM10000 has {', '.join(METADATA)}; or "
            f"{', '.join(ONE_HOT)}."
        )
    kept = _without_duplicates(found, path, drops)
    counts = collections.Counter(lesion.dx for lesion in kept)
    altered += [
        f"{code} has {counts[code]:,} rows, official {n:,}" for code, n in OFFICIAL.items() if counts[code] != n
    ]
    return Table(path, tuple(kept), tuple(altered))


def read_dx(text: str) -> str | None:
    """The class code that a dx stands for, None where it is not clear.

    Besides other spellings it undoes a search and replace of codes by names, which makes
    "Melanomaanocytic" of "Melanocytic".

    >>> read_dx("nv"), read_dx("Actinic Keratoses & Intraepithelial Carcinoma"), read_dx("Melanomaanocytic Nevi (moles)")
    ('nv', 'akiec', 'nv')
    >>> read_dx("lesion") is None
    True
    """
    plain = normalise(re.sub(r"\(.*?\)", " ", text).replace("&", " and "))
    undone = plain
    for code, name in CLASSES.items():
        undone = undone.replace(normalise(name), code)
    for code, name in CLASSES.items():
        if {plain, undone} & {code, normalise(name), *ALIASES[code]}:
            return code
    return None


def age(text: str) -> int | None:
    """Whole years, None where blank, not a number or not an age.

    >>> age("80"), age("80.0"), age(""), age("nan"), age("-3")
    (80, 80, None, None, None)
    """
    number = re.fullmatch(r"(\d{1,3})(?:\.0*)?", text.strip())
    return int(number[1]) if number and int(number[1]) <= 120 else None


def _metadata(path: Path, drops: Drops) -> tuple[list[tuple[int, Lesion]], list[str]]:
    rows = list(tables.read(path, METADATA))
    spelt = collections.Counter(row["dx"] for _, row in rows)
    codes = {text: read_dx(text) for text in spelt}
    if unknown := [text for text, code in codes.items() if code is None]:
        raise UserError(
            f"{path.absolute()} has dx values that are no known class: {', '.join(map(repr, unknown))} (the first in "
            f"line {next(line for line, row in rows if row['dx'] in unknown)}). Known: "
            f"{', '.join(f'{code} ({name})' for code, name in CLASSES.items())}. A diagnosis is never guessed: take the "
            "published table, or correct these values."
        )
    found = []
    for line, row in rows:
        if not row["lesion_id"] or not row["image_id"]:
            drops.add(f"line {line} of {path.name}", "it has no lesion_id or no image_id", row["image_id"])
            continue
        meta = {name: row.get(name, "") for name in ("dx_type", "sex", "localization")}
        found.append((line, Lesion(files.plain(row["image_id"]), row["lesion_id"], codes[row["dx"]], meta)))
        meta["age"] = age(row.get("age", ""))
    repaired = [f"dx {t!r} is read as {c} in {spelt[t]:,} rows" for t, c in codes.items() if t != c]
    return found, repaired


def _one_hot(path: Path, lesions: Mapping[str, str], drops: Drops) -> list[tuple[int, Lesion]]:
    found = []
    for line, row in tables.read(path, ONE_HOT):
        marked = [code for code in CLASSES if row[code.upper()] in ("1", "1.0")]
        others = {row[code.upper()] for code in CLASSES if code not in marked}
        if len(marked) != 1 or not others <= {"0", "0.0"}:
            drops.add(f"line {line} of {path.name}", "not exactly one class is marked with 1", row["image"])
            continue
        image = files.plain(row["image"])
        found.append((line, Lesion(image, lesions.get(image, ""), marked[0], {})))
    return found


def _without_duplicates(found: list[tuple[int, Lesion]], path: Path, drops: Drops) -> list[Lesion]:
    """The first row of every image; none of an image whose rows contradict each other."""
    said = collections.defaultdict(set)
    for _, lesion in found:
        said[lesion.image].add((lesion.lesion, lesion.dx))
    kept: dict[str, Lesion] = {}
    for line, lesion in found:
        if len(said[lesion.image]) > 1:
            drops.add(f"line {line} of {path.name}", "the rows of its image contradict each other", lesion.image)
        elif lesion.image in kept:
            drops.add(f"line {line} of {path.name}", "its image has a row already", lesion.image)
        else:
            kept[lesion.image] = lesion
    return list(kept.values())


def _groupings(folder: Path) -> dict[str, str]:
    """{image: lesion} from any table of the folder that knows both, as ISIC's LesionGroupings does."""
    for path in tables.below(folder, "HAM10000_metadata"):
        columns = tables.columns(path)
        image = next((name for name in ("image", "image_id") if name in columns), None)
        if image and "lesion_id" in columns:
            return {files.plain(row[image]): row["lesion_id"] for _, row in tables.read(path, (image, "lesion_id"))}
    return {}
