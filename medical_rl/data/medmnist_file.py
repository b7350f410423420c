"""A MedMNIST `.npz` against what its publisher says of it: arrays, counts, image size, MD5.

The publisher's facts are INFO of the installed `medmnist` package.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import re
from collections.abc import Collection
from pathlib import Path

from medical_rl.data import npz
from medical_rl.data.images import MAX_PIXELS
from medical_rl.data.npz import Header
from medical_rl.errors import UserError, unknown

SPLITS = ("train", "val", "test")

# What the splits of a flag do not prove, besides what holds for all of them.
NOTES = {
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
        raise UserError(f"{path.absolute()} lacks {', '.join(missing)}; it holds {', '.join(arrays) or 'no array'}.")
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


def names(info: dict) -> tuple[str, ...]:
    """The names of the labels in the order of their numbers."""
    return tuple(info["label"][str(index)].strip() for index in range(len(info["label"])))
