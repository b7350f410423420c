"""Heel: lateral X-rays of the foot; normal, heel spur or Sever's disease, or the box of the heel bone.

Source: Kaggle, osamahtaher/heel-dataset: three class folders, `normal` (1,842 images), `heelspur` (1,316) and
`sever` (798). "sever" is Sever's disease (calcaneal apophysitis, of children), and not "severe".
Licence: Apache-2.0, as its Kaggle page says.
One row: sever/<name>.jpg, a grey lateral view of a child's heel, answer "Sever's disease". No name, age or
date.
What the split does not prove: nothing names the patients, so one patient's two feet, or two views of one, may
be in two splits; only byte-identical files are kept together. Sever's disease is of growing children and heel
spur of adults, so a model may tell the open growth plate and not the disease. Boxes are not known to come
with it: bring your own. VRFT-Aug's are of the heel bone, of feet of all three classes, and tell none of them;
boxes of the findings (`target=finding`) are asked for by name, which tells the class.
"""

import collections
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

from medical_rl.data.prepare import command
from medical_rl.data.prepare.sampling import split_by_group
from medical_rl.data.rows import Drops, parallel_map
from medical_rl.data.sources import files, image_boxes
from medical_rl.data_preprocess import count_differences
from medical_rl.errors import UserError, check_known
from medical_rl.parsing.response import normalise
from medical_rl.sample import Sample

SPLITS = ("train", "val", "test")
CLASSES = {"normal": "normal", "heelspur": "heel spur", "sever": "Sever's disease"}
# How folders and labels are spelt, without case, spaces and marks.
SPELLINGS = {**dict(zip(CLASSES, CLASSES, strict=True)), "severs": "sever", "seversdisease": "sever"}
BONES = ("heel bone", "heel", "calcaneus", "bone")  # labels of the bone's boxes, where a file has others too
OFFICIAL = {"normal": 1842, "heelspur": 1316, "sever": 798}
QUESTION = "Does this lateral X-ray of the heel look normal, or does it show a heel spur or Sever's disease?"
_ASK = "in this lateral X-ray of the heel? Give its box [x1, y1, x2, y2] in pixels."
BOX_QUESTIONS = {
    "bone": f"Where is the heel bone (calcaneus) {_ASK}",
    "finding": f"Where is the {{finding}} {_ASK}",
}
URL = "https://www.kaggle.com/datasets/osamahtaher/heel-dataset"
WHAT = f"It should hold the class folders normal, heelspur and sever of {URL}."
NOTES = (
    "No patients are named: one patient's images may be in two splits; only identical files are kept "
    "together.",
    "Sever's disease is of children and heel spur of adults, so age alone, as the bones show it, "
    "separates them.",
)

FINDINGS = (
    "The boxes are of findings, and each question names its own: it tells the class of a training image. "
    "They are not VRFT-Aug's, whose boxes are of the heel bone and tell no class."
)
NO_BONES = (
    "No normal image has a box: these may be boxes of findings, whose place tells the class, and not of the "
    "heel bone."
)


def rows(
    source, split: str, *, drops: Drops | None = None, boxes: str | None = None, target: str = "bone",
    several: str = "union", test_share: float = 0.1, val_share: float = 0.05, split_seed: int = 0,
) -> Iterator[Sample]:  # fmt: skip
    """The samples of one split; kind "label" (3 classes) or, with `boxes`, "box".

    boxes       a COCO .json, a .csv, or a folder of VOC .xml or YOLO .txt files; within the source, or a path
    target      bone: the boxes are the heel bone's, as in VRFT-Aug, and nothing of the class is told;
                finding: those of a heel spur or of Sever's disease, which the question names
    several     where an image has several boxes: one around all (union), or the one of largest area (largest)
    split_seed  draws the split, the same for both tasks; not the run's seed, so all runs share one test set

    A broken image, one that is in two class folders, and for boxes one without a usable box, go to `drops`.
    Raises UserError where a class folder is missing.
    """
    check_known("split of Heel", split, SPLITS)
    drops = drops or Drops()
    folder, classes = _classified_images(source, several, target)
    if boxes:
        drawn = _drawn_boxes(folder, boxes, classes, target, drops)
    groups = {path: files.content_hash(path) for path in classes}
    pairs = zip(groups.values(), classes.values(), strict=True)
    split_of = split_by_group(pairs, {"test": test_share, "val": val_share}, split_seed)
    classes_of_file = collections.defaultdict(set)
    for path, name in classes.items():
        classes_of_file[groups[path]].add(name)

    def sample(path: Path, drops: Drops) -> Sample | None:
        row = path.relative_to(folder).as_posix()
        names = classes_of_file[groups[path]]
        if len(names) > 1:
            return drops.add(row, "the same file is in two class folders", ", ".join(sorted(names)))
        picture = files.read_picture(path, row, drops)
        if picture is None:
            return None
        return Sample(
            id=f"heel/{row}", source="heel", question=QUESTION, kind="label", answer=CLASSES[classes[path]],
            choices=tuple(CLASSES.values()), images=(picture.data,), group=groups[path], split=split,
            size=picture.size, meta={"file": row},
        )  # fmt: skip

    paths = [path for path in classes if split_of[groups[path]] == split]
    samples = parallel_map(sample, paths, drops)
    if not boxes:
        return samples
    normal = CLASSES["normal"] if target == "finding" else None
    return image_boxes.box_questions(samples, folder, drawn, several, BOX_QUESTIONS[target], normal, drops)


def describe(
    source, *, boxes: str | None = None, target: str = "bone", several: str = "union",
    test_share: float = 0.1, val_share: float = 0.05, split_seed: int = 0,
) -> dict:  # fmt: skip
    """The facts for the data card: licence, URL, and counts that are not the published ones."""
    folder, classes = _classified_images(source, several, target)
    counts = collections.Counter(classes.values())
    told, notes = None, list(NOTES)
    if boxes:
        what = "heel bone" if target == "bone" else "finding"
        told = f"{Path(boxes).name}; {what}; {several}; [x1, y1, x2, y2], x2 and y2 one past the last pixel"
        boxed = {classes[path] for path in _drawn_boxes(folder, boxes, classes, target, Drops())}
        if target == "finding":
            notes.append(FINDINGS)
        elif "normal" not in boxed:
            notes.append(NO_BONES)
    return {
        "source": "Heel",
        "licence": "Apache-2.0",
        "url": URL,
        "altered": count_differences(counts, OFFICIAL, "images"),
        "split": f"by file, seed {split_seed}, test {test_share:.0%}, val {val_share:.0%}",
        "boxes": told,
        "notes": notes,
    }


def content_paths(source, *, boxes: str | None = None, **_) -> list:
    """The files and folders whose content decides the rows."""
    return [source, Path(source).expanduser() / Path(boxes).expanduser()] if boxes else [source]


def add_options(parser) -> None:
    """Add the options of `rows` to a command line."""
    told = "ask for boxes: COCO .json, .csv, or a folder of VOC or YOLO"
    parser.add_argument("--boxes", metavar="PATH", help=told)
    told = "what the boxes are: bone (the heel bone), finding (named by the question; default: bone)"
    parser.add_argument("--target", help=told)
    several = ", ".join(image_boxes.SEVERAL)
    parser.add_argument("--several", help=f"where an image has several boxes: {several} (default: union)")
    command.add_split_options(parser, test=0.1, val=0.05)


main = functools.partial(command.run, "heel", add_options=add_options)


def class_of(name: str) -> str | None:
    """The class that a folder's or a label's name stands for.

    >>> class_of("Heel_Spur"), class_of("Sever's disease"), class_of("Sever"), class_of("severe")
    ('heelspur', 'sever', 'sever', None)
    """
    return SPELLINGS.get(normalise(name).replace(" ", ""))


def _drawn_boxes(folder: Path, boxes: str, classes: dict[Path, str], target: str, drops: Drops):
    """{image: its boxes}; where labels tell the bone from findings, those of the target alone."""
    annotations = image_boxes.read_boxes(folder / Path(boxes).expanduser(), drops)
    bones = [box for box in annotations if normalise(box.label) in BONES]
    if bones:
        annotations = bones if target == "bone" else [box for box in annotations if box not in bones]
    return image_boxes.match_to_images(annotations, classes, class_of, drops)


def _classified_images(source, several: str, target: str) -> tuple[Path, dict[Path, str]]:
    """The folder and {image: class} of every image below a class folder, in order of path."""
    check_known("choice among several boxes", several, image_boxes.SEVERAL)
    check_known("target of boxes", target, BOX_QUESTIONS)
    folder = files.source_folder(source, WHAT)
    paths = files.below(folder)
    classes = {}
    for path in paths:
        for part in path.relative_to(folder).parts[:-1]:
            if class_of(part):
                classes[path] = class_of(part)
    missing = [name for name in CLASSES if name not in classes.values()]
    if missing:
        below = ", ".join(sorted({path.parent.name for path in paths})) or "no images at all"
        raise UserError(f"{folder.absolute()} has no images of {', '.join(missing)}; found: {below}. {WHAT}")
    return folder, classes


if __name__ == "__main__":
    sys.exit(main())
