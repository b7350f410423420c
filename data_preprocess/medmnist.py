"""MedMNIST, its twelve 2-D datasets: `<flag>.npz`, `<flag>_64.npz`, `_128`, `_224`.

Source: MedMNIST v2 and MedMNIST+ (Yang et al., Scientific Data 2023, doi 10.1038/s41597-022-01721-8).
Licence: CC BY 4.0, except DermaMNIST, which is CC BY-NC 4.0; each card states its own.
One row, PneumoniaMNIST train 0: a 28 x 28 grey chest X-ray of a child, mean grey level 154, label 1
("pneumonia"). The file holds pixels and a class number, and no name, age, date or view.
What the splits do not prove: MedMNIST publishes no patient ids, so nothing here can show that no
patient is in two splits; `group` is the row itself. In PneumoniaMNIST some val images equal train
images byte for byte (the card counts them). At 28 pixels little of the pathology can be seen.
RetinaMNIST's test set is its source's validation set. DermaMNIST is built from HAM10000: never
train on one and test on the other. ChestMNIST is multi-label (14 findings an image): each finding is a
yes/no question of its own, 14 rows an image, or one row an image for one `finding`.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

if __name__ == "__main__" and not __package__:
    # Run as a file, sys.path[0] is this folder, where `medmnist` would be this very module.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from medical_rl.data import ahead, command, medmnist_file, npz
from medical_rl.data.drops import Drops
from medical_rl.data.images import encode_png
from medical_rl.data.medmnist_file import SPLITS
from medical_rl.errors import UserError, unknown
from medical_rl.sample import Sample

QUESTIONS = {
    "chestmnist": "Does this frontal chest X-ray show {finding}?",
    "pathmnist": "Which tissue does this stained patch of a colorectal histology slide show?",
    "dermamnist": "Which skin lesion does this dermatoscopic image show?",
    "octmnist": "What does this retinal optical coherence tomography scan show?",
    "pneumoniamnist": "Is this chest X-ray of a child normal, or does it show pneumonia?",
    "retinamnist": "What is the severity grade of diabetic retinopathy in this fundus photograph, from 0 to 4?",
    "breastmnist": "Is the finding in this breast ultrasound image malignant, or is it normal or benign?",
    "bloodmnist": "Which type of blood cell does this microscope image show?",
    "tissuemnist": "Which type of kidney cortex cell does this microscope image show?",
    "organamnist": "Which organ is at the centre of this axial slice of an abdominal CT?",
    "organcmnist": "Which organ is at the centre of this coronal slice of an abdominal CT?",
    "organsmnist": "Which organ is at the centre of this sagittal slice of an abdominal CT?",
}

LARGE = 1 << 14  # bytes of a picture: 128 x 128
Row = tuple[int, tuple[np.ndarray, np.ndarray]]

NOTES = (
    "MedMNIST publishes no patient ids: that no patient is in two splits cannot be checked.",
    "The images are scaled down, and much that a clinician looks at is not in them.",
)


def rows(
    source, split: str, *, flag: str | None = None, allow_altered: bool = False, finding: str | None = None
) -> Iterator[Sample]:
    """The samples of one split, streamed; kind "grade" for RetinaMNIST, "yes_no" for ChestMNIST, else "label".

    flag           the dataset; read off the file name where not given
    allow_altered  use a file whose MD5, counts or sizes are not the official ones
    finding        ChestMNIST: ask for this finding only (default: for each of the 14)

    The file's arrays are checked before the first sample. Raises UserError, saying what differs; a label that is not
    in the dataset is met, and refused, when its row comes.
    """
    path, flag, info = medmnist_file.usable(source, flag, allow_altered, QUESTIONS)
    if split not in SPLITS:
        raise unknown("split of MedMNIST", split, SPLITS)
    if flag != "chestmnist":
        return _samples(path, flag, info, split)
    names = medmnist_file.names(info)
    if finding is not None and finding not in names:
        raise unknown("finding of ChestMNIST", finding, names)
    return _findings(path, names, split, names if finding is None else (finding,))


def describe(source, *, flag: str | None = None, allow_altered: bool = False, finding: str | None = None) -> dict:
    """The facts for the data card: licence, URL, checksums, rows per split and what was altered."""
    path, flag, info = medmnist_file.usable(source, flag, allow_altered, QUESTIONS)
    arrays = npz.headers(path)
    return {
        "source": info["python_class"],
        "flag": flag,
        "file": path.name,
        "licence": info["license"],
        "url": medmnist_file.published(info, "url", path),
        "doi": "10.1038/s41597-022-01721-8",
        "md5": medmnist_file.md5(path),
        "official_md5": medmnist_file.published(info, "MD5", path),
        "altered": medmnist_file.altered(path, info, arrays),
        "counts": {split: arrays[f"{split}_labels"][0][0] for split in SPLITS},
        "notes": [*NOTES, *medmnist_file.NOTES.get(flag, ())],
    }


def main(argv=None) -> int:
    """The exit code of preparing one file by hand; see `medical_rl.data.command`."""

    def add_options(parser):
        parser.add_argument("--flag", help=f"{', '.join(QUESTIONS)} (default: from the file name)")
        parser.add_argument("--finding", help="chestmnist: ask for this finding only")
        parser.add_argument("--allow-altered", action="store_true", help="use a file that is not the official one")

    return command.run("medmnist", argv, add_options)


def _samples(path: Path, flag: str, info: dict, split: str) -> Iterator[Sample]:
    names = medmnist_file.names(info)

    def sample(row: Row, drops: Drops) -> Sample:
        index, (image, label) = row
        name = f"{flag}/{split}/{index}"
        if not 0 <= label[0] < len(names):
            raise UserError(f"{path.absolute()}: label {label[0]} of {name} is not in 0 to {len(names) - 1}.")
        return Sample(
            id=name,
            source=flag,
            question=QUESTIONS[flag],
            kind="grade" if info["task"] == "ordinal-regression" else "label",
            answer=names[label[0]],
            choices=names,
            images=(encode_png(image),),
            group=name,
            split=split,
            size=image.shape[:2],
        )

    return _made(path, split, sample)


def _findings(path: Path, names: tuple[str, ...], split: str, asked: tuple[str, ...]) -> Iterator[Sample]:
    """A yes/no question for each asked finding of each image; the image is the group."""

    def samples(row: Row, drops: Drops) -> list[Sample]:
        index, (image, labels) = row
        group, encoded = f"chestmnist/{split}/{index}", encode_png(image)
        if not set(labels.tolist()) <= {0, 1}:
            raise UserError(f"{path.absolute()}: labels {labels.tolist()} of {group} are not all 0 or 1.")
        return [
            Sample(
                id=f"{group}/{finding}",
                source="chestmnist",
                question=QUESTIONS["chestmnist"].format(finding=finding),
                kind="yes_no",
                answer="yes" if labels[names.index(finding)] else "no",
                choices=("yes", "no"),
                images=(encoded,),
                group=group,
                split=split,
                size=image.shape[:2],
            )
            for finding in asked
        ]

    return itertools.chain.from_iterable(_made(path, split, samples))


def _made(path: Path, split: str, make: Callable[[Row, Drops], object]) -> Iterator:
    """What `make` gives for each row of the split; several rows at a time where pictures are large enough to pay for it."""
    shape, _ = npz.headers(path)[f"{split}_images"]
    pairs = zip(npz.stream(path, f"{split}_images"), npz.stream(path, f"{split}_labels"), strict=True)
    drops = Drops()  # a published array has no row that is left out
    if math.prod(shape[1:]) < LARGE:
        return (make(row, drops) for row in enumerate(pairs))
    return ahead.rows(make, enumerate(pairs), drops)


if __name__ == "__main__":
    sys.exit(main())
