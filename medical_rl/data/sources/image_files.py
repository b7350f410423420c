"""Images that a row names or holds: their bytes as a `Sample` keeps them, or None with the reason in `drops`.

A PNG or JPEG is kept as it came; any other format that can be read (TIFF, BMP, ...) becomes a PNG,
since a browser and other tools must read it too. Every image is decoded once, so a truncated one is
met here and not in the middle of training.
"""

from __future__ import annotations

import os
from pathlib import Path

from medical_rl import images
from medical_rl.data.drops import Drops
from medical_rl.data.sources.files import is_pointer, picture
from medical_rl.errors import UserError


def inside(root: Path, name: str) -> Path | None:
    """The path of `name` (relative to `root`, or absolute) below `root`; None where it leads out of it.

    Links are the user's own and are followed.

    >>> inside(Path("/data"), "a/../b.png").as_posix(), inside(Path("/data"), "../b.png")
    ('/data/b.png', None)
    """
    root = Path(os.path.abspath(root))
    path = Path(os.path.normpath(root / str(name)))
    return path if path != root and path.is_relative_to(root) and "\0" not in str(name) else None


def read_image(root: Path, name: str, row: str, drops: Drops) -> bytes | None:
    """The encoded image called `name` below `root`; None, with the reason in `drops`, where it cannot be used."""
    path = inside(root, name)
    if path is None:
        return drops.add(row, "the path of its image leaves the image folder", str(name))
    if not path.is_file():
        return drops.add(row, "its image is not in the folder", str(name))
    found = picture(path, row, drops)
    return found and found.data


def usable(data: bytes | None, row: str, drops: Drops) -> bytes | None:
    """The encoded image that a row holds itself; None, with the reason in `drops`, where it cannot be used."""
    if not data:
        return drops.add(row, "its image is empty")
    if is_pointer(data):
        return drops.add(row, "its image is a git-lfs pointer, not the file itself")
    try:
        return images.stored(data, images.decode(data))
    except UserError as error:
        return drops.add(row, "its image cannot be decoded", str(error))
