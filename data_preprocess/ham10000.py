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
"""

from __future__ import annotations

import collections
import sys
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__" and not __package__:
    # Run as a file, sys.path[0] is this folder; the package is beside it.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from medical_rl.data import ahead, command, files, ham10000_table, masks
from medical_rl.data.drops import Drops
from medical_rl.data.grouped import grouped
from medical_rl.errors import UserError, unknown
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
        "boxes": f"{part}; [x1, y1, x2, y2], x2 and y2 one past the last marked pixel" if task == "boxes" else None,
        "notes": notes,
    }


def main(argv=None) -> int:
    """The exit code of preparing the set by hand; see `medical_rl.data.command`."""

    def add_options(parser):
        parser.add_argument("--task", help=f"{', '.join(TASKS)} (default: classification)")
        parser.add_argument("--table", help="the table's path within the source, where several fit")
        parser.add_argument("--part", help=f"boxes: {', '.join(masks.PARTS)} (default: union)")
        command.add_shares(parser, test=0.2, val=0.05)
        parser.add_argument("--split-seed", type=int, metavar="N", help="draws the split (default: 0)")
        parser.add_argument("--by-image", action="store_true", help="split by image where no lesions are named")

    return command.run("ham10000", argv, add_options)


def _samples(chosen, split: str, task: str, part: str, pictures, mask_files, drops: Drops) -> Iterator[Sample]:
    def sample(lesion: ham10000_table.Lesion, drops: Drops) -> Sample | None:
        if (picture := files.only(pictures.get(lesion.image, ()), lesion.image, drops)) is None:
            return None
        answer = ham10000_table.CLASSES[lesion.dx]
        if (
            task == "boxes"
            and (answer := masks.drawn(lesion.image, picture, mask_files.get(lesion.image, ()), part, drops)) is None
        ):
            return None
        return Sample(
            id=f"ham10000/{lesion.image}",
            source="ham10000" if task == "classification" else "ham10000_boxes",
            question=QUESTIONS[task],
            kind="label" if task == "classification" else "box",
            answer=answer,
            choices=tuple(ham10000_table.CLASSES.values()) if task == "classification" else (),
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
        (found if name.endswith("_segmentation") else pictures)[name.removesuffix("_segmentation")].append(path)
    return pictures, found


def _checked(source, task: str, table: str | None, part: str, by_image: bool, drops: Drops):
    """The folder and its table, the options' names known and every row's lesion with them."""
    if task not in TASKS:
        raise unknown("task of HAM10000", task, TASKS)
    if part not in masks.PARTS:
        raise unknown("part of a mask", part, masks.PARTS)
    folder = files.source_folder(source, WHAT)
    found = ham10000_table.load(folder, table, drops)
    if found.alone and not by_image:
        raise UserError(
            f"{found.path.absolute()} does not say which lesion {found.alone:,} of its {len(found.lesions):,} images show, and "
            "a split by image would test on lesions that were trained on. Put ISIC2018_Task3_Training_LesionGroupings.csv "
            "or HAM10000_metadata beside it, or split by image all the same with by_image=true (--by-image)."
        )
    return folder, found


def _group(lesion: ham10000_table.Lesion) -> str:
    return lesion.lesion or lesion.image


if __name__ == "__main__":
    sys.exit(main())
