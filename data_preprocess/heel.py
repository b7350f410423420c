"""Heel: lateral X-rays of the foot; normal, heel spur or Sever's disease, or the finding's box.

Source: Kaggle, osamahtaher/heel-dataset: three class folders, `normal` (1,842 images), `heelspur` (1,316) and
`sever` (798). "sever" is Sever's disease (calcaneal apophysitis, of children), and not "severe".
Licence: Apache-2.0, as its Kaggle page says.
One row: sever/<name>.jpg, a grey lateral view of a child's heel, answer "Sever's disease". No name, age or date.
What the split does not prove: nothing names the patients, so one patient's two feet, or two views of one, may be in two
splits; only byte-identical files are kept together. Sever's disease is of growing children and heel spur of adults,
so a model may tell the open growth plate and not the disease. Boxes are not known to come with it: bring your own.
"""

from __future__ import annotations

import collections
import sys
from collections.abc import Iterator
from pathlib import Path

from medical_rl.data.drops import Drops
from medical_rl.data.prepare import ahead, command
from medical_rl.data.prepare.grouped import grouped
from medical_rl.data.sources import box_files, box_match, files
from medical_rl.errors import UserError, unknown
from medical_rl.parsing.response import normalise
from medical_rl.sample import Sample

SPLITS = ("train", "val", "test")
CLASSES = {"normal": "normal", "heelspur": "heel spur", "sever": "Sever's disease"}
OFFICIAL = {"normal": 1842, "heelspur": 1316, "sever": 798}
QUESTION = "Does this lateral X-ray of the heel look normal, or does it show a heel spur or Sever's disease?"
BOX_QUESTION = (
    "Where is the {finding} in this lateral X-ray of the heel? Give its box [x1, y1, x2, y2] in pixels."
)
WHAT = "It should hold the class folders normal, heelspur and sever of https://www.kaggle.com/datasets/osamahtaher/heel-dataset."
NOTES = (
    "No patients are named: one patient's images may be in two splits; only identical files are kept together.",
    "Sever's disease is of children and heel spur of adults, so age alone, as the bones show it, separates them.",
)


def rows(
    source, split: str, *, drops: Drops | None = None, boxes: str | None = None, several: str = "union",
    test_share: float = 0.1, val_share: float = 0.05, split_seed: int = 0,
) -> Iterator[Sample]:  # fmt: skip
    """The samples of one split; kind "label" (3 classes) or, with `boxes`, "box".

    boxes       a COCO .json, a .csv, or a folder of VOC .xml or YOLO .txt files; within the source, or a path
    several     where an image has several boxes: one around all (union), or the one of largest area (largest)
    split_seed  draws the split, the same for both tasks; it is not the run's seed, so all runs share one test set

    Raises UserError where a class folder is missing. A broken image, one that is in two class folders, and for boxes
    one without a usable box, go to `drops`.
    """
    if split not in SPLITS:
        raise unknown("split of Heel", split, SPLITS)
    drops = Drops() if drops is None else drops
    folder, found = _checked(source, several)
    drawn = None
    if boxes:
        drawn = box_match.match(
            box_files.read(folder / Path(boxes).expanduser(), drops), found, class_of, drops
        )
    groups = {path: files.content(path) for path in found}
    shares = {"test": test_share, "val": val_share}
    where = grouped(((groups[path], name) for path, name in found.items()), shares, split_seed)
    chosen = [path for path in found if where[groups[path]] == split]
    samples = _samples(folder, chosen, found, groups, split, drops)
    return (
        samples
        if drawn is None
        else box_match.asked(samples, folder, drawn, several, BOX_QUESTION, CLASSES["normal"], drops)
    )


def describe(
    source, *, boxes: str | None = None, several: str = "union", test_share: float = 0.1, val_share: float = 0.05,
    split_seed: int = 0,
) -> dict:  # fmt: skip
    """The facts for the data card: licence, URL, the classes' counts where they are not the published ones."""
    folder, found = _checked(source, several)
    counts = collections.Counter(found.values())
    return {
        "source": "Heel",
        "licence": "Apache-2.0",
        "url": "https://www.kaggle.com/datasets/osamahtaher/heel-dataset",
        "altered": [
            f"{k} has {counts[k]:,} images, official {n:,}" for k, n in OFFICIAL.items() if counts[k] != n
        ],
        "split": f"by file, seed {split_seed}, test {test_share:.0%}, val {val_share:.0%}",
        "boxes": f"{Path(boxes).name}; {several}; [x1, y1, x2, y2], x2 and y2 one past the last pixel"
        if boxes
        else None,
        "notes": list(NOTES),
    }


def reads(source, *, boxes: str | None = None, **_) -> list:
    """The files and folders whose content decides the rows."""
    return [source, Path(source).expanduser() / Path(boxes).expanduser()] if boxes else [source]


def main(argv=None) -> int:
    """The exit code of preparing the set by hand; see `medical_rl.data.prepare.command`."""

    def add_options(parser):
        parser.add_argument(
            "--boxes", metavar="PATH", help="ask for boxes: COCO .json, .csv, or a folder of VOC or YOLO"
        )
        parser.add_argument(
            "--several",
            help=f"where an image has several boxes: {', '.join(box_match.SEVERAL)} (default: union)",
        )
        command.add_shares(parser, test=0.1, val=0.05)
        parser.add_argument("--split-seed", type=int, metavar="N", help="draws the split (default: 0)")

    return command.run("heel", argv, add_options)


def class_of(name: str) -> str | None:
    """The class that a folder's or a label's name stands for.

    >>> class_of("Heel_Spur"), class_of("Sever's disease"), class_of("Sever"), class_of("severe")
    ('heelspur', 'sever', 'sever', None)
    """
    known = {
        "normal": "normal",
        "heelspur": "heelspur",
        "sever": "sever",
        "severs": "sever",
        "seversdisease": "sever",
    }
    return known.get(normalise(name).replace(" ", ""))


def _samples(folder: Path, chosen, found, groups, split: str, drops: Drops) -> Iterator[Sample]:
    meant = collections.defaultdict(set)
    for path, name in found.items():
        meant[groups[path]].add(name)

    def sample(path: Path, drops: Drops) -> Sample | None:
        row = path.relative_to(folder).as_posix()
        if len(meant[groups[path]]) > 1:
            return drops.add(
                row, "the same file is in two class folders", ", ".join(sorted(meant[groups[path]]))
            )
        if (picture := files.picture(path, row, drops)) is None:
            return None
        return Sample(
            id=f"heel/{row}",
            source="heel",
            question=QUESTION,
            kind="label",
            answer=CLASSES[found[path]],
            choices=tuple(CLASSES.values()),
            images=(picture.data,),
            group=groups[path],
            split=split,
            size=picture.size,
            meta={"file": row},
        )

    return ahead.rows(sample, chosen, drops)


def _checked(source, several: str) -> tuple[Path, dict[Path, str]]:
    """The folder and {image: class} of every image below a class folder, in order of path."""
    if several not in box_match.SEVERAL:
        raise unknown("choice among several boxes", several, box_match.SEVERAL)
    folder = files.source_folder(source, WHAT)
    found = {}
    for path in files.below(folder):
        names = [name for part in path.relative_to(folder).parts[:-1] if (name := class_of(part))]
        if names:
            found[path] = names[-1]
    if missing := [name for name in CLASSES if name not in found.values()]:
        below = ", ".join(sorted({path.parent.name for path in files.below(folder)})) or "no images at all"
        raise UserError(f"{folder.absolute()} has no images of {', '.join(missing)}; found: {below}. {WHAT}")
    return folder, found


if __name__ == "__main__":
    sys.exit(main())
