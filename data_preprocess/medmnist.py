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

A MedMNIST `.npz` against what its publisher says of it: arrays, counts, image size, MD5.

The publisher's facts are INFO of the installed `medmnist` package.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import itertools
import math
import re
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np

from medical_rl.data.drops import Drops
from medical_rl.data.prepare import ahead, command
from medical_rl.data.sources import npz
from medical_rl.data.sources.npz import Header
from medical_rl.errors import UserError, unknown
from medical_rl.images import MAX_PIXELS, encode_png
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
    path, flag, info = usable(source, flag, allow_altered, QUESTIONS)
    if split not in SPLITS:
        raise unknown("split of MedMNIST", split, SPLITS)
    if flag != "chestmnist":
        return _samples(path, flag, info, split)
    names = finding_names(info)
    if finding is not None and finding not in names:
        raise unknown("finding of ChestMNIST", finding, names)
    return _findings(path, names, split, names if finding is None else (finding,))


def describe(
    source, *, flag: str | None = None, allow_altered: bool = False, finding: str | None = None
) -> dict:
    """The facts for the data card: licence, URL, checksums, rows per split and what was altered."""
    path, flag, info = usable(source, flag, allow_altered, QUESTIONS)
    arrays = npz.headers(path)
    return {
        "source": info["python_class"],
        "flag": flag,
        "file": path.name,
        "licence": info["license"],
        "url": published(info, "url", path),
        "doi": "10.1038/s41597-022-01721-8",
        "md5": md5(path),
        "official_md5": published(info, "MD5", path),
        "altered": altered(path, info, arrays),
        "counts": {split: arrays[f"{split}_labels"][0][0] for split in SPLITS},
        "notes": [*NOTES, *MEDMNIST_FILE_NOTES.get(flag, ())],
    }


def main(argv=None) -> int:
    """The exit code of preparing one file by hand; see `medical_rl.data.prepare.command`."""

    def add_options(parser):
        parser.add_argument("--flag", help=f"{', '.join(QUESTIONS)} (default: from the file name)")
        parser.add_argument("--finding", help="chestmnist: ask for this finding only")
        parser.add_argument(
            "--allow-altered", action="store_true", help="use a file that is not the official one"
        )

    return command.run("medmnist", argv, add_options)


def _samples(path: Path, flag: str, info: dict, split: str) -> Iterator[Sample]:
    names = finding_names(info)

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


SPLITS = ("train", "val", "test")

# What the splits of a flag do not prove, besides what holds for all of them.
MEDMNIST_FILE_NOTES = {
    "dermamnist": (
        "DermaMNIST is built from HAM10000: never train on one and test on the other (HAM10000 has several images of a lesion, "
        "which may be in two splits here).",
    ),
    "retinamnist": (
        "The test split is its source's validation set (DeepDRiD): scores do not compare with those of the source's own test.",
    ),
}


@functools.cache
def official() -> dict[str, dict]:
    """INFO of the installed medmnist package, {flag: facts}.

    It is read as text: importing the package would import torch and make a folder in the user's home.

    >>> official()["breastmnist"]["label"]["1"]
    'normal, benign'
    """
    try:
        found = importlib.metadata.distribution("medmnist").locate_file("medmnist/info.py")
        tree = ast.parse(Path(found).read_text(encoding="utf-8"))
    except (importlib.metadata.PackageNotFoundError, OSError) as error:
        raise UserError(
            "The package medmnist, which knows the official checksums, is missing: pip install medmnist."
        ) from error
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "INFO":
            return ast.literal_eval(node.value)
    raise UserError(f"{found} has no INFO; medmnist 3.0.2 has one.")


def named_flag(path: Path) -> str:
    """The dataset that the file's name stands for.

    >>> named_flag(Path("retinamnist_224.npz"))
    'retinamnist'
    """
    return re.sub(r"_\d+$", "", path.stem)


def named_size(path: Path) -> int:
    """Pixels a side that the file's name stands for: its suffix, or 28.

    >>> named_size(Path("retinamnist_224.npz")), named_size(Path("retinamnist.npz"))
    (224, 28)
    """
    found = re.search(r"_(\d+)$", path.stem)
    return int(found[1]) if found else 28


def published(info: dict, key: str, path: Path) -> str | None:
    """INFO's `key` (MD5 or url) for the size in the file's name; None if that size was never published."""
    size = named_size(path)
    return info.get(key if size == 28 else f"{key}_{size}")


def check_arrays(path: Path, arrays: dict[str, Header], columns: int = 1) -> None:
    """None if the six arrays are there, with the dtypes and shapes of 2-D MedMNIST, `columns` labels an image."""
    wanted = [f"{split}_{part}" for split in SPLITS for part in ("images", "labels")]
    if missing := [key for key in wanted if key not in arrays]:
        raise UserError(
            f"{path.absolute()} lacks {', '.join(missing)}; it holds {', '.join(arrays) or 'no array'}."
        )
    for split in SPLITS:
        (shape, dtype), (label_shape, label_dtype) = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        square = len(shape) in (3, 4) and shape[1] == shape[2] > 0 and shape[3:] in ((), (3,))
        if dtype != "uint8" or not square:
            raise UserError(
                f"{path.absolute()}: {split}_images is {dtype} {shape}; 2-D MedMNIST images are uint8, of shape "
                "(N, S, S) or (N, S, S, 3)."
            )
        if shape[1] * shape[2] > MAX_PIXELS:
            raise UserError(
                f"{path.absolute()}: {split}_images are {shape[1]} x {shape[2]} pixels; more than {MAX_PIXELS:,} pixels are "
                "not read."
            )
        if label_dtype.kind not in "iu" or label_shape != (shape[0], columns):
            raise UserError(
                f"{path.absolute()}: {split}_labels is {label_dtype} {label_shape}; for {shape[0]} images it should "
                f"be whole numbers of shape ({shape[0]}, {columns})."
            )


def altered(path: Path, info: dict, arrays: dict[str, Header]) -> list[str]:
    """What differs from the official file, one clause each; [] for the official file."""
    reasons = []
    for split in SPLITS:
        have, want = arrays[f"{split}_images"][0][0], info["n_samples"][split]
        if have != want:
            reasons.append(f"{split} has {have:,} rows, official {want:,}")
    size = named_size(path)
    want = (size, size, 3) if info["n_channels"] == 3 else (size, size)
    for split in SPLITS:
        if (have := arrays[f"{split}_images"][0][1:]) != want:
            reasons.append(f"{split} images are {have}, and {path.name} should hold {want}")
    if md5(path) != (want := published(info, "MD5", path)):
        reasons.append(f"its MD5 is {md5(path)}, official {want or f'none at {size} pixels'}")
    return reasons


def md5(path: Path) -> str:
    """The MD5 of a file in hexadecimal, computed once while its size and time stay."""
    status = path.stat()
    return _md5(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _md5(path: Path, size: int, mtime_ns: int) -> str:
    # Every split asks, and a file may have gigabytes.
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def usable(source, flag: str | None, allow_altered: bool, known: Collection[str]) -> tuple[Path, str, dict]:
    """The path, flag and INFO of a usable file: readable, of the right arrays, and official or allowed not to be."""
    path = Path(source or "").expanduser()
    name = flag or named_flag(path)
    info = official().get(name)
    url = info and (published(info, "url", path) or info["url"])
    if not path.is_file():
        where = f"{name} is at {url}; all" if url else "All"
        raise UserError(
            f"There is no MedMNIST file {path.absolute()}. {where} datasets at once: "
            f"`python -m medmnist download --root=FOLDER --size={named_size(path)}` (FOLDER must exist)."
        )
    if name not in known:
        raise unknown("2-D MedMNIST dataset (from the file name; else give flag)", name, known)
    arrays = npz.headers(path)
    check_arrays(path, arrays, len(info["label"]) if name == "chestmnist" else 1)
    reasons = altered(path, info, arrays)
    if reasons and not allow_altered:
        raise UserError(
            f"{path.absolute()} is not the official file: {'; '.join(reasons)}. Download it again from {url}, "
            "or use it as it is with allow_altered=true (--allow-altered); the data card will say so."
        )
    return path, name, info


def finding_names(info: dict) -> tuple[str, ...]:
    """The names of the labels in the order of their numbers."""
    return tuple(info["label"][str(index)].strip() for index in range(len(info["label"])))


if __name__ == "__main__":
    sys.exit(main())
