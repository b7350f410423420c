"""HAM10000: dermatoscopic images of pigmented skin lesions; seven classes, or the lesion's box.

Source: Tschandl et al., Scientific Data 2018, doi 10.1038/sdata.2018.161; files at Harvard Dataverse,
doi 10.7910/DVN/DBW86T: HAM10000_metadata, images in part_1 and part_2, segmentation masks.
Licence: CC BY-NC 4.0.
One row: lesion HAM_0000118, image ISIC_0027419, dx bkl (benign keratosis-like), confirmed by histology,
age 80, male, scalp; a 600 x 450 colour JPEG.
What the split does not prove: it is ours, by lesion (7,470 lesions have 10,015 images, and a split by image
would put 752 test images beside another picture of the same lesion). Patients are not named, so one patient's
two lesions may be in two splits. A fifth is the test set, drawn once by `split_seed`. DermaMNIST is built
from these images: never train on one and test on the other. Where a box ends is one annotator's judgement.

Its table comes as metadata (8 or 7 columns, CSV or tab) or as one-hot ground truth; both are read.
"""

import collections
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from medical_rl.data.prepare import command
from medical_rl.data.prepare.sampling import split_by_group
from medical_rl.data.rows import Drops, parallel_map
from medical_rl.data.sources import files, image_boxes, tables
from medical_rl.data_preprocess import count_differences
from medical_rl.errors import UserError, check_known
from medical_rl.parsing.response import normalise
from medical_rl.sample import Sample

SPLITS = ("train", "val", "test")
TASKS = ("classification", "boxes")
QUESTIONS = {
    "classification": "Which skin lesion does this dermatoscopic image show?",
    "boxes": "Where is the skin lesion in this dermatoscopic image? Give its box [x1, y1, x2, y2] in pixels.",
}
WHAT = "It should hold HAM10000_metadata and the image folders of https://doi.org/10.7910/DVN/DBW86T."
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
ONE_HOT = ("image", *map(str.upper, CLASSES))
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

    A box is [x1, y1, x2, y2] in pixels of the original image, x2 and y2 one past the last marked pixel.
    Raises UserError for a table that cannot be used, and where no image of it is in the folder.
    """
    check_known("split of HAM10000", split, SPLITS)
    drops = drops or Drops()
    folder, found = _checked_table(source, task, table, part, by_image, drops)
    groups = [(lesion.group, lesion.dx) for lesion in found.lesions]
    split_of = split_by_group(groups, {"test": test_share, "val": val_share}, split_seed)
    pictures, masks = collections.defaultdict(list), collections.defaultdict(list)
    for path in files.below(folder):  # Kaggle's copy has every image twice
        name = files.image_stem(path.name)
        image = name.removesuffix("_segmentation")
        (pictures if image == name else masks)[image].append(path)
    if pictures.keys().isdisjoint(lesion.image for lesion in found.lesions):
        images = f"{len(found.lesions):,} images of {found.path.name}"
        raise UserError(f"None of the {images} is in {folder.absolute()}. {WHAT}")

    def sample(lesion: Lesion, drops: Drops) -> Sample | None:
        picture = files.read_only_picture(pictures.get(lesion.image, ()), lesion.image, drops)
        if picture is None:
            return None
        source, kind, answer, choices = "ham10000", "label", CLASSES[lesion.dx], tuple(CLASSES.values())
        meta = {**lesion.meta, "dx": lesion.dx}
        if task == "boxes":
            source, kind, choices = "ham10000_boxes", "box", ()
            mask = masks.get(lesion.image, ())
            answer = image_boxes.mask_box_answer(lesion.image, picture, mask, part, drops)
            meta["finding"] = "lesion"
        return answer and Sample(
            id=f"ham10000/{lesion.image}", source=source, question=QUESTIONS[task], kind=kind, answer=answer,
            choices=choices, images=(picture.data,), group=lesion.group, split=split, size=picture.size,
            meta=meta,
        )  # fmt: skip

    chosen = [lesion for lesion in found.lesions if split_of[lesion.group] == split]
    return parallel_map(sample, chosen, drops)


def describe(
    source, *, task: str = "classification", table: str | None = None, part: str = "union",
    test_share: float = 0.2, val_share: float = 0.05, split_seed: int = 0, by_image: bool = False,
) -> dict:  # fmt: skip
    """The facts for the data card: licence, DOI, the table and how it differs from the published one."""
    _, found = _checked_table(source, task, table, part, by_image, Drops())
    notes, boxes = list(NOTES), None
    unaged = sum(lesion.meta.get("age", 0) is None for lesion in found.lesions)
    if unaged:
        notes.append(f"{unaged:,} rows have no usable age.")
    if found.alone:
        notes.append(
            f"The lesion of {found.alone:,} images is not named: they are split by image, so that pictures "
            "of one lesion may be in several splits, and scores are too high."
        )
    unit = "lesion, or image where none is named" if found.alone else "lesion"
    if found.alone == len(found.lesions) > 0:
        unit = "image"
    if task == "boxes":
        boxes = f"{part}; [x1, y1, x2, y2], x2 and y2 one past the last marked pixel"
    return {
        "source": "HAM10000",
        "file": found.path.name,
        "table": files.content_hash(found.path),
        "licence": "CC BY-NC 4.0",
        "url": "https://doi.org/10.7910/DVN/DBW86T",
        "doi": "10.1038/sdata.2018.161",
        "altered": list(found.altered),
        "split": f"by {unit}, seed {split_seed}, test {test_share:.0%}, val {val_share:.0%}",
        "boxes": boxes,
        "notes": notes,
    }


def add_options(parser) -> None:
    """Add the options of `rows` to a command line."""
    parser.add_argument("--task", help=f"{', '.join(TASKS)} (default: classification)")
    parser.add_argument("--table", help="the table's path within the source, where several fit")
    parser.add_argument("--part", help=f"boxes: {', '.join(image_boxes.PARTS)} (default: union)")
    command.add_split_options(parser, test=0.2, val=0.05)
    parser.add_argument("--by-image", action="store_true", help="split by image where no lesions are named")


main = functools.partial(command.run, "ham10000", add_options=add_options)


class Lesion(NamedTuple):
    """One image of the table: its lesion ("" where not known), class code, and facts of the patient."""

    image: str
    lesion: str
    dx: str
    meta: dict

    @property
    def group(self) -> str:
        """What no split may divide: the lesion, or the image where it is not known."""
        return self.lesion or self.image


class Table(NamedTuple):
    """The usable rows of a table, and sentences on how it differs from the published one."""

    path: Path
    lesions: tuple[Lesion, ...]
    altered: tuple[str, ...]

    @property
    def alone(self) -> int:
        """How many images have no lesion named."""
        return sum(not lesion.lesion for lesion in self.lesions)


def load(folder: Path, name: str | None, drops: Drops) -> Table:
    """The table `name` of the folder, or the one that is found there; rows it cannot use go to `drops`."""
    path = tables.find_table(folder, (METADATA, ONE_HOT), name, "A table of HAM10000", "HAM10000_metadata")
    columns, altered = tables.column_names(path), []
    if set(METADATA) <= set(columns):
        numbered, altered = _metadata(path, drops)
    elif set(ONE_HOT) <= set(columns):
        numbered = _one_hot(path, folder, drops)
    else:
        raise UserError(
            f"{path.absolute()} has the columns {', '.join(columns) or 'none'}; a table of HAM10000 has "
            f"{', '.join(METADATA)}; or {', '.join(ONE_HOT)}."
        )
    lesions = _without_duplicates(numbered, path, drops)
    counts = collections.Counter(lesion.dx for lesion in lesions)
    return Table(path, tuple(lesions), (*altered, *count_differences(counts, OFFICIAL)))


@functools.cache
def read_dx(text: str) -> str | None:
    """The class code that a dx stands for, None where it is not clear.

    Besides other spellings it undoes a search and replace of codes by names, which makes
    "Melanomaanocytic" of "Melanocytic".

    >>> read_dx("Actinic Keratoses & Intraepithelial Carcinoma"), read_dx("Melanomaanocytic Nevi (moles)")
    ('akiec', 'nv')
    >>> read_dx("nv"), read_dx("lesion")
    ('nv', None)
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
    """Whole years, None where blank, not a number or not an age."""
    number = re.fullmatch(r"(\d{1,3})(?:\.0*)?", text.strip())
    return int(number[1]) if number and int(number[1]) <= 120 else None


def _checked_table(source, task: str, table: str | None, part: str, by_image: bool, drops: Drops):
    """The folder and its table, the options' names known and every row's lesion with them."""
    check_known("task of HAM10000", task, TASKS)
    check_known("part of a mask", part, image_boxes.PARTS)
    folder = files.source_folder(source, WHAT)
    found = load(folder, table, drops)
    if found.alone and not by_image:
        raise UserError(
            f"{found.path.absolute()} does not say which lesion {found.alone:,} of its "
            f"{len(found.lesions):,} images show, and a split by image would test on lesions that were "
            "trained on. Put ISIC2018_Task3_Training_LesionGroupings.csv or HAM10000_metadata beside it, "
            "or split by image all the same with by_image=true (--by-image)."
        )
    return folder, found


def _metadata(path: Path, drops: Drops) -> tuple[list[tuple[int, Lesion]], list[str]]:
    """The (line, lesion) pairs of a table that names classes, and a clause for each repaired name."""
    lesions, spellings = [], collections.Counter()
    unread: dict[str, int] = {}
    for line, row in tables.read_table(path, METADATA):
        spellings[row["dx"]] += 1
        code = read_dx(row["dx"])
        if code is None:
            unread.setdefault(row["dx"], line)
        elif not row["lesion_id"] or not row["image_id"]:
            drops.add(f"line {line} of {path.name}", "it has no lesion_id or no image_id", row["image_id"])
        else:
            meta = {name: row.get(name, "") for name in ("dx_type", "sex", "localization")}
            meta["age"] = age(row.get("age", ""))
            lesions.append((line, Lesion(files.composed_name(row["image_id"]), row["lesion_id"], code, meta)))
    if unread:
        known = ", ".join(f"{code} ({name})" for code, name in CLASSES.items())
        raise UserError(
            f"{path.absolute()} has dx values that are no known class: {', '.join(map(repr, unread))} (the "
            f"first in line {min(unread.values())}). Known: {known}. A diagnosis is never guessed: take "
            "the published table, or correct these values."
        )
    repaired = []
    for text, count in spellings.items():
        if read_dx(text) != text:
            repaired.append(f"dx {text!r} is read as {read_dx(text)} in {count:,} rows")
    return lesions, repaired


def _one_hot(path: Path, folder: Path, drops: Drops) -> list[tuple[int, Lesion]]:
    """The (line, lesion) pairs of a table with a column of 0 and 1 a class.

    The lesions are those of any table of the folder that knows both, as ISIC's LesionGroupings does.
    """
    lesions, lesion_of = [], {}
    for other in tables.table_files(folder, "HAM10000_metadata"):
        columns = tables.column_names(other)
        name = "image" if "image" in columns else "image_id"
        if {name, "lesion_id"} <= set(columns):
            numbered = tables.read_table(other, (name, "lesion_id"))
            lesion_of = {files.composed_name(row[name]): row["lesion_id"] for _, row in numbered}
            break
    for line, row in tables.read_table(path, ONE_HOT):
        marks = [row[column].removesuffix(".0") for column in ONE_HOT[1:]]
        if sorted(marks) != ["0"] * (len(CLASSES) - 1) + ["1"]:
            drops.add(f"line {line} of {path.name}", "not exactly one class is marked with 1", row["image"])
            continue
        image = files.composed_name(row["image"])
        lesions.append((line, Lesion(image, lesion_of.get(image, ""), list(CLASSES)[marks.index("1")], {})))
    return lesions


def _without_duplicates(numbered: list[tuple[int, Lesion]], path: Path, drops: Drops) -> list[Lesion]:
    """The first row of every image; none of an image whose rows contradict each other."""
    statements = collections.defaultdict(set)
    for _, lesion in numbered:
        statements[lesion.image].add((lesion.lesion, lesion.dx))
    lesions: dict[str, Lesion] = {}
    for line, lesion in numbered:
        row = f"line {line} of {path.name}"
        if len(statements[lesion.image]) > 1:
            drops.add(row, "the rows of its image contradict each other", lesion.image)
        elif lesion.image in lesions:
            drops.add(row, "its image has a row already", lesion.image)
        else:
            lesions[lesion.image] = lesion
    return list(lesions.values())


if __name__ == "__main__":
    sys.exit(main())
