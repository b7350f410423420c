"""HAM10000: dermatoscopic images of pigmented skin lesions; seven classes, or the lesion's box.

Source: Tschandl et al., Scientific Data 2018, doi 10.1038/sdata.2018.161; files at Harvard Dataverse,
doi 10.7910/DVN/DBW86T: HAM10000_metadata, images in part_1 and part_2, segmentation masks.
Licence: CC BY-NC 4.0.
One row: lesion HAM_0000118, image ISIC_0027419, dx bkl (benign keratosis-like), confirmed by histology,
age 80, male, scalp; a 600 x 450 colour JPEG.
What the split does not prove: it is ours, by lesion (7,470 lesions have 10,015 images, and a split by image
would put 752 test images beside another picture of the same lesion). Patients are not named, so one patient's
two lesions may be in two splits. A fifth is the test set, drawn once by `split_seed`. DermaMNIST is built from
these images: never train on one and test on the other. Where a box ends is one annotator's judgement.

HAM10000's tables in the forms they come in: metadata (8 or 7 columns, CSV or tab) and one-hot ground truth.
"""

from __future__ import annotations

import collections
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from medical_rl.data.drops import Drops
from medical_rl.data.prepare import ahead, command
from medical_rl.data.prepare.grouped import grouped
from medical_rl.data.sources import files, masks, tables
from medical_rl.errors import UserError, unknown
from medical_rl.parsing.response import normalise
from medical_rl.sample import Sample

SPLITS = ("train", "val", "test")
TASKS = ("classification", "boxes")
QUESTIONS = {
    "classification": "Which skin lesion does this dermatoscopic image show?",
    "boxes": "Where is the skin lesion in this dermatoscopic image? Give its box [x1, y1, x2, y2] in pixels.",
}
WHAT = "It should hold HAM10000_metadata and the image folders of https://doi.org/10.7910/DVN/DBW86T."
NOTES = (
    "The split is by lesion; patients are not named, so one patient's lesions may be in two splits.",
    "DermaMNIST is built from these images: never train on one and test on the other.",
)


def rows(
    source, split: str, *, drops: Drops | None = None, task: str = "classification", table: str | None = None,
    part: str = "union", test_share: float = 0.2, val_share: float = 0.05, split_seed: int = 0,
    by_image: bool = False,
) -> Iterator[Sample]:  # fmt: skip
    """The samples of one split in the table's order; kind "label" (7 classes) or, for task "boxes", "box".

    table       the table's path within the source, where several fit
    part        boxes: of everything the mask marks (union) or of its largest connected part (largest)
    split_seed  draws the split; it is not the run's seed, so that every run is tested on the same images
    by_image    where the table names no lesion, split by image, which puts one lesion into several splits

    A box is [x1, y1, x2, y2] in pixels of the original image, x2 and y2 one past the last marked column and row.
    Raises UserError for a table that cannot be used, and where no image of it is in the folder.
    """
    if split not in SPLITS:
        raise unknown("split of HAM10000", split, SPLITS)
    drops = Drops() if drops is None else drops
    folder, found = _checked(source, task, table, part, by_image, drops)
    shares = {"test": test_share, "val": val_share}
    where = grouped(((_group(lesion), lesion.dx) for lesion in found.lesions), shares, split_seed)
    chosen = [lesion for lesion in found.lesions if where[_group(lesion)] == split]
    pictures, mask_files = _images(folder)
    if not any(lesion.image in pictures for lesion in found.lesions):
        raise UserError(
            f"None of the {len(found.lesions):,} images of {found.path.name} is in {folder.absolute()}. {WHAT}"
        )
    return _samples(chosen, split, task, part, pictures, mask_files, drops)


def describe(
    source, *, task: str = "classification", table: str | None = None, part: str = "union", test_share: float = 0.2,
    val_share: float = 0.05, split_seed: int = 0, by_image: bool = False,
) -> dict:  # fmt: skip
    """The facts for the data card: licence, DOI, the table and how it differs from the published one."""
    _, found = _checked(source, task, table, part, by_image, Drops())
    notes, unaged = list(NOTES), sum(lesion.meta.get("age", 0) is None for lesion in found.lesions)
    if unaged:
        notes.append(f"{unaged:,} rows have no usable age.")
    if found.alone:
        notes.append(
            f"The lesion of {found.alone:,} images is not named: they are split by image, so that pictures of one lesion "
            "may be in several splits, and scores are too high."
        )
    return {
        "source": "HAM10000",
        "file": found.path.name,
        "table": files.content(found.path),
        "licence": "CC BY-NC 4.0",
        "url": "https://doi.org/10.7910/DVN/DBW86T",
        "doi": "10.1038/sdata.2018.161",
        "altered": list(found.altered),
        "split": f"by {found.unit}, seed {split_seed}, test {test_share:.0%}, val {val_share:.0%}",
        "boxes": f"{part}; [x1, y1, x2, y2], x2 and y2 one past the last marked pixel"
        if task == "boxes"
        else None,
        "notes": notes,
    }


def main(argv=None) -> int:
    """The exit code of preparing the set by hand; see `medical_rl.data.prepare.command`."""

    def add_options(parser):
        parser.add_argument("--task", help=f"{', '.join(TASKS)} (default: classification)")
        parser.add_argument("--table", help="the table's path within the source, where several fit")
        parser.add_argument("--part", help=f"boxes: {', '.join(masks.PARTS)} (default: union)")
        command.add_shares(parser, test=0.2, val=0.05)
        parser.add_argument("--split-seed", type=int, metavar="N", help="draws the split (default: 0)")
        parser.add_argument(
            "--by-image", action="store_true", help="split by image where no lesions are named"
        )

    return command.run("ham10000", argv, add_options)


def _samples(
    chosen, split: str, task: str, part: str, pictures, mask_files, drops: Drops
) -> Iterator[Sample]:
    def sample(lesion: Lesion, drops: Drops) -> Sample | None:
        if (picture := files.only(pictures.get(lesion.image, ()), lesion.image, drops)) is None:
            return None
        answer = CLASSES[lesion.dx]
        if (
            task == "boxes"
            and (answer := masks.drawn(lesion.image, picture, mask_files.get(lesion.image, ()), part, drops))
            is None
        ):
            return None
        return Sample(
            id=f"ham10000/{lesion.image}",
            source="ham10000" if task == "classification" else "ham10000_boxes",
            question=QUESTIONS[task],
            kind="label" if task == "classification" else "box",
            answer=answer,
            choices=tuple(CLASSES.values()) if task == "classification" else (),
            images=(picture.data,),
            group=_group(lesion),
            split=split,
            size=picture.size,
            meta={**lesion.meta, "dx": lesion.dx, **({"finding": "lesion"} if task == "boxes" else {})},
        )

    return ahead.rows(sample, chosen, drops)


def _images(folder: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """({image: files}, {image: mask files}): Kaggle's copy has every image twice."""
    pictures, found = collections.defaultdict(list), collections.defaultdict(list)
    for path in files.below(folder):
        name = files.stem(path.name)
        (found if name.endswith("_segmentation") else pictures)[name.removesuffix("_segmentation")].append(
            path
        )
    return pictures, found


def _checked(source, task: str, table: str | None, part: str, by_image: bool, drops: Drops):
    """The folder and its table, the options' names known and every row's lesion with them."""
    if task not in TASKS:
        raise unknown("task of HAM10000", task, TASKS)
    if part not in masks.PARTS:
        raise unknown("part of a mask", part, masks.PARTS)
    folder = files.source_folder(source, WHAT)
    found = load(folder, table, drops)
    if found.alone and not by_image:
        raise UserError(
            f"{found.path.absolute()} does not say which lesion {found.alone:,} of its {len(found.lesions):,} images show, and "
            "a split by image would test on lesions that were trained on. Put ISIC2018_Task3_Training_LesionGroupings.csv "
            "or HAM10000_metadata beside it, or split by image all the same with by_image=true (--by-image)."
        )
    return folder, found


def _group(lesion: Lesion) -> str:
    return lesion.lesion or lesion.image


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
        f"{code} has {counts[code]:,} rows, official {n:,}"
        for code, n in OFFICIAL.items()
        if counts[code] != n
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
            drops.add(
                f"line {line} of {path.name}", "the rows of its image contradict each other", lesion.image
            )
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
            return {
                files.plain(row[image]): row["lesion_id"]
                for _, row in tables.read(path, (image, "lesion_id"))
            }
    return {}


if __name__ == "__main__":
    sys.exit(main())
