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

A file is checked against INFO of the installed `medmnist` package: arrays, counts, image size and MD5.
"""

import ast
import functools
import hashlib
import importlib.metadata
import itertools
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from medical_rl.data.prepare import command
from medical_rl.data.rows import Drops, parallel_map
from medical_rl.data.sources import npz
from medical_rl.data_preprocess import count_differences
from medical_rl.errors import UserError, check_known
from medical_rl.images import MAX_PIXELS, encode_png
from medical_rl.sample import Sample

QUESTIONS = {
    "chestmnist": "Does this frontal chest X-ray show {finding}?",
    "pathmnist": "Which tissue does this stained patch of a colorectal histology slide show?",
    "dermamnist": "Which skin lesion does this dermatoscopic image show?",
    "octmnist": "What does this retinal optical coherence tomography scan show?",
    "pneumoniamnist": "Is this chest X-ray of a child normal, or does it show pneumonia?",
    "retinamnist": "What is the severity grade of diabetic retinopathy in this fundus photograph, "
    "from 0 to 4?",
    "breastmnist": "Is the finding in this breast ultrasound image malignant, or is it normal or benign?",
    "bloodmnist": "Which type of blood cell does this microscope image show?",
    "tissuemnist": "Which type of kidney cortex cell does this microscope image show?",
    "organamnist": "Which organ is at the centre of this axial slice of an abdominal CT?",
    "organcmnist": "Which organ is at the centre of this coronal slice of an abdominal CT?",
    "organsmnist": "Which organ is at the centre of this sagittal slice of an abdominal CT?",
}

SPLITS = ("train", "val", "test")
NOTES = (
    "MedMNIST publishes no patient ids: that no patient is in two splits cannot be checked.",
    "The images are scaled down, and much that a clinician looks at is not in them.",
)
# What the splits of one dataset do not prove besides.
NOTES_OF = {
    "dermamnist": "DermaMNIST is built from HAM10000: never train on one and test on the other (HAM10000 "
    "has several images of a lesion, which may be in two splits here).",
    "retinamnist": "The test split is its source's validation set (DeepDRiD): scores do not compare with "
    "those of the source's own test.",
}
LARGE = 1 << 14  # bytes of a picture: 128 x 128


def rows(
    source, split: str, *, flag: str | None = None, allow_altered: bool = False, finding: str | None = None
) -> Iterator[Sample]:
    """The samples of one split, streamed: kind "grade" (RetinaMNIST), "yes_no" (ChestMNIST) or "label".

    flag           the dataset; read off the file name where not given
    allow_altered  use a file whose MD5, counts or sizes are not the official ones
    finding        ChestMNIST: ask for this finding only (default: for each of the 14)

    The file's arrays are checked before the first sample. Raises UserError, saying what differs; a label that
    is not in the dataset is met, and refused, when its row comes.
    """
    path, flag, info = _official_file(source, flag, allow_altered)
    check_known("split of MedMNIST", split, SPLITS)
    names = tuple(info["label"][number].strip() for number in sorted(info["label"], key=int))
    if flag == "chestmnist" and finding is not None:
        check_known("finding of ChestMNIST", finding, names)
    kind = "grade" if info["task"] == "ordinal-regression" else "label"

    def samples(row: tuple[int, tuple[np.ndarray, np.ndarray]], drops: Drops) -> list[Sample]:
        index, (image, label) = row
        group = f"{flag}/{split}/{index}"  # the image
        common = {"images": (encode_png(image),), "group": group, "split": split, "size": image.shape[:2]}
        if flag != "chestmnist":
            if not 0 <= label[0] < len(names):
                told = f"label {label[0]} of {group} is not in 0 to {len(names) - 1}"
                raise UserError(f"{path.absolute()}: {told}.")
            return [Sample(group, flag, QUESTIONS[flag], kind, names[label[0]], names, **common)]
        if not set(label.tolist()) <= {0, 1}:
            raise UserError(f"{path.absolute()}: labels {label.tolist()} of {group} are not all 0 or 1.")
        made = []
        for asked in names if finding is None else (finding,):
            answer = "yes" if label[names.index(asked)] else "no"
            question = QUESTIONS[flag].format(finding=asked)
            made.append(Sample(f"{group}/{asked}", flag, question, "yes_no", answer, ("yes", "no"), **common))
        return made

    streams = npz.stream(path, f"{split}_images"), npz.stream(path, f"{split}_labels")
    pairs = enumerate(zip(*streams, strict=True))
    shape, _ = npz.headers(path)[f"{split}_images"]
    drops = Drops()  # a published array has no row that is left out
    large = math.prod(shape[1:]) >= LARGE  # for less, threads cost more than they save
    made = parallel_map(samples, pairs, drops) if large else (samples(pair, drops) for pair in pairs)
    return itertools.chain.from_iterable(made)


def describe(source, *, flag: str | None = None, allow_altered: bool = False, **_) -> dict:
    """The facts for the data card: licence, URL, checksums, rows per split and what was altered."""
    path, flag, info = _official_file(source, flag, allow_altered)
    arrays = npz.headers(path)
    notes = list(NOTES)
    if flag in NOTES_OF:
        notes.append(NOTES_OF[flag])
    return {
        "source": info["python_class"],
        "flag": flag,
        "file": path.name,
        "licence": info["license"],
        "url": _published(info, "url", path),
        "doi": "10.1038/s41597-022-01721-8",
        "md5": _md5(path),
        "official_md5": _published(info, "MD5", path),
        "altered": _alterations(path, info, arrays),
        "counts": _counts(arrays),
        "notes": notes,
    }


def add_options(parser) -> None:
    """Add the options of `rows` to a command line."""
    parser.add_argument("--flag", help=f"{', '.join(QUESTIONS)} (default: from the file name)")
    parser.add_argument("--finding", help="chestmnist: ask for this finding only")
    told = "use a file that is not the official one"
    parser.add_argument("--allow-altered", action="store_true", help=told)


main = functools.partial(command.run, "medmnist", add_options=add_options)


@functools.cache
def official() -> dict[str, dict]:
    """INFO of the installed medmnist package, {flag: facts}.

    It is read as text: importing the package would import torch and make a folder in the user's home.
    """
    try:
        path = importlib.metadata.distribution("medmnist").locate_file("medmnist/info.py")
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    except (importlib.metadata.PackageNotFoundError, OSError) as error:
        raise UserError(
            "The package medmnist, which knows the official checksums, is missing: pip install medmnist."
        ) from error
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "INFO":
            return ast.literal_eval(node.value)
    raise UserError(f"{path} has no INFO; medmnist 3.0.2 has one.")


def _official_file(source, flag: str | None, allow_altered: bool) -> tuple[Path, str, dict]:
    """The path, flag and INFO of a file of the right arrays that is official, or allowed not to be."""
    path = Path(source or "").expanduser()
    name = flag or re.sub(r"_\d+$", "", path.stem)
    info = official().get(name)
    url = info and (_published(info, "url", path) or info["url"])
    if not path.is_file():
        where = f"{name} is at {url}; all" if url else "All"
        raise UserError(
            f"There is no MedMNIST file {path.absolute()}. {where} datasets at once: "
            f"`python -m medmnist download --root=FOLDER --size={_named_size(path)}` (FOLDER must exist)."
        )
    check_known("2-D MedMNIST dataset (from the file name; else give flag)", name, QUESTIONS)
    arrays = npz.headers(path)
    _check_arrays(path, arrays, len(info["label"]) if name == "chestmnist" else 1)
    alterations = _alterations(path, info, arrays)
    if alterations and not allow_altered:
        raise UserError(
            f"{path.absolute()} is not the official file: {'; '.join(alterations)}. Download it again from "
            f"{url}, or use it as it is with allow_altered=true (--allow-altered); the data card will say "
            "so."
        )
    return path, name, info


def _check_arrays(path: Path, arrays: dict[str, npz.Header], columns: int) -> None:
    """Raise UserError without the six arrays of 2-D MedMNIST, with `columns` labels an image."""
    wanted = map("_".join, itertools.product(SPLITS, ("images", "labels")))
    missing = [name for name in wanted if name not in arrays]
    if missing:
        there = ", ".join(arrays) or "no array"
        raise UserError(f"{path.absolute()} lacks {', '.join(missing)}; it holds {there}.")
    for split in SPLITS:
        (shape, dtype), (label_shape, label_dtype) = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        square = len(shape) in (3, 4) and shape[1] == shape[2] > 0 and shape[3:] in ((), (3,))
        problem = ""
        if dtype != "uint8" or not square:
            wanted = "2-D MedMNIST images are uint8, of shape (N, S, S) or (N, S, S, 3)"
            problem = f"{split}_images is {dtype} {shape}; {wanted}"
        elif shape[1] * shape[2] > MAX_PIXELS:
            limit = f"more than {MAX_PIXELS:,} pixels are not read"
            problem = f"{split}_images are {shape[1]} x {shape[2]} pixels; {limit}"
        elif label_dtype.kind not in "iu" or label_shape != (shape[0], columns):
            wanted = f"for {shape[0]} images it should be whole numbers of shape ({shape[0]}, {columns})"
            problem = f"{split}_labels is {label_dtype} {label_shape}; {wanted}"
        if problem:
            raise UserError(f"{path.absolute()}: {problem}.")


def _alterations(path: Path, info: dict, arrays: dict[str, npz.Header]) -> list[str]:
    """What differs from the official file, one clause each; [] for the official file."""
    clauses = count_differences(_counts(arrays), info["n_samples"])
    size = _named_size(path)
    wanted = (size, size, 3) if info["n_channels"] == 3 else (size, size)
    for split in SPLITS:
        shape = arrays[f"{split}_images"][0][1:]
        if shape != wanted:
            clauses.append(f"{split} images are {shape}, and {path.name} should hold {wanted}")
    md5, published = _md5(path), _published(info, "MD5", path)
    if md5 != published:
        clauses.append(f"its MD5 is {md5}, official {published or f'none at {size} pixels'}")
    return clauses


def _counts(arrays: dict[str, npz.Header]) -> dict[str, int]:
    """{split: rows}."""
    return {split: arrays[f"{split}_labels"][0][0] for split in SPLITS}


def _named_size(path: Path) -> int:
    """Pixels a side that the file's name stands for: its suffix, or 28.

    >>> _named_size(Path("retinamnist_224.npz")), _named_size(Path("retinamnist.npz"))
    (224, 28)
    """
    suffix = re.search(r"_(\d+)$", path.stem)
    return int(suffix[1]) if suffix else 28


def _published(info: dict, key: str, path: Path) -> str | None:
    """INFO's `key` (MD5 or url) for the size in the file's name; None if that size was never published."""
    size = _named_size(path)
    return info.get(key if size == 28 else f"{key}_{size}")


def _md5(path: Path) -> str:
    """The MD5 of a file in hexadecimal, computed once while its size and time stay."""
    status = path.stat()
    return _md5_of_state(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _md5_of_state(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
