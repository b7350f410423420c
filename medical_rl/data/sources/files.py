"""Files of a source folder: its images found, each read whole or left out with a reason.

Links are the user's own and are followed. Names that come from a table are only ever looked up among
the files found, so no table can make a reader open anything else.
"""

from __future__ import annotations

import functools
import hashlib
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from medical_rl import images
from medical_rl.data.drops import Drops
from medical_rl.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MAX_BYTES = 1 << 28


class Picture(NamedTuple):
    """An image as a `Sample` keeps it (the bytes of a PNG or JPEG, made a PNG where the file is neither), and decoded as RGB."""

    data: bytes
    image: Image.Image

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.height, self.image.width


class Index:
    """The images below a folder by the names that a table gives them."""

    def __init__(self, folder: Path) -> None:
        self._paths: dict[str, list[Path]] = {}
        for path in below(folder):
            self._paths.setdefault(stem(path.name), []).append(path)

    def named(self, name: str, folder: str = "") -> list[Path]:
        """The files that `name` may mean: [] or one, or several where there is no telling which.

        A name may end ".png.bmp" in a table and ".png" on the disk, so suffixes decide only among several;
        so does `folder`, the name of one above the file.
        """
        fitting = self._paths.get(stem(name), [])
        for better in (lambda path: folder in path.parts, lambda path: plain(path.name) == plain(name)):
            fitting = [path for path in fitting if better(path)] or fitting
        return fitting

    def disputed(self, asked: Iterable[tuple[str, str]]) -> set[str]:
        """The names, of (name, folder) pairs, whose one file another name means too, and that are not the file's own."""
        meant: dict[Path, set[str]] = {}
        for name, folder in asked:
            if len(fitting := self.named(name, folder)) == 1:
                meant.setdefault(fitting[0], set()).add(name)
        return {
            name
            for path, names in meant.items()
            for name in names
            if len(names) > 1 and plain(name) != plain(path.name)
        }


def source_folder(source, what: str) -> Path:
    """The folder `source`; UserError where there is none. `what` says what it should hold, and where to get it."""
    path = Path(os.path.expanduser(source or ""))  # Path.expanduser raises where there is no such user
    if not source or not path.is_dir():
        raise UserError(
            f"There is no folder {path.absolute() if source else '(source is not given)'}. {what}"
        )
    return path


def below(
    folder: Path, suffixes: tuple[str, ...] | None = SUFFIXES, without: Path | None = None
) -> list[Path]:
    """Every file below `folder` with one of the suffixes, in any case, sorted; hidden and macOS's own are not looked at.

    suffixes  None takes every file
    without   a folder that is left out with all it holds
    """
    found, seen = [], {os.path.realpath(without)} if without else set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:  # a link to a folder above would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        wanted = (n for n in names if not n.startswith("."))
        wanted = (n for n in wanted if suffixes is None or os.path.splitext(n)[1].lower() in suffixes)
        found += [path for path in (Path(place, name) for name in wanted) if path.is_file()]
    return sorted(found)


def plain(name: str) -> str:
    """A name in one Unicode form: macOS stores "ü" as two characters, and tables have one.

    >>> plain("Bu" + chr(0x308) + "ro") == "B" + chr(0xFC) + "ro"
    True
    """
    return unicodedata.normalize("NFC", name.strip())


def stem(name: str) -> str:
    """A file's name without its image suffixes, all of them.

    >>> stem("DX.1.2.png.bmp"), stem("scan 3.JPG"), stem("CR.1.2")
    ('DX.1.2', 'scan 3', 'CR.1.2')
    """
    base, suffix = os.path.splitext(name)
    return stem(base) if base and suffix.lower() in SUFFIXES else plain(name)


def picture(path: Path | None, row: str, drops: Drops, what: str = "image") -> Picture | None:
    """The image at `path`, decoded to prove that it is whole; None, with the reason in `drops`, where it is not."""
    if path is None:
        return drops.add(row, f"its {what} is not in the folder")
    try:
        if path.stat().st_size > MAX_BYTES:
            return drops.add(row, f"its {what} is over {MAX_BYTES >> 20} MiB", path.name)
        data = path.read_bytes()
    except OSError as error:
        return drops.add(row, f"its {what} cannot be read", f"{path.name}: {error.strerror or error}")
    if is_pointer(data):
        return drops.add(row, f"its {what} is a git-lfs pointer, not the file itself", path.name)
    try:
        image = images.decode(data)
        return Picture(images.stored(data, image), image)
    except UserError as error:
        return drops.add(row, f"its {what} cannot be decoded", f"{path.name}: {error}")


def only(paths: Sequence[Path], row: str, drops: Drops, what: str = "image") -> Picture | None:
    """The `picture` of the files that go by a row's id: a copy has them twice, and where they differ none is taken."""
    # Only files of one size are read to compare them.
    if len(paths) > 1 and (
        len({path.stat().st_size for path in paths}) > 1 or len(set(map(content, paths))) > 1
    ):
        told = ", ".join(f"{path.parent.name}/{path.name}" for path in paths)
        return drops.add(row, f"several files that differ could be its {what}", told)
    return picture(paths[0] if paths else None, row, drops, what)


def content(path: Path) -> str:
    """The SHA-256 of a file, computed once while its size and time stay; its path where it cannot be read."""
    try:
        status = path.stat()
        return _sha256(path, status.st_size, status.st_mtime_ns)
    except OSError:
        return str(path)


@functools.lru_cache(maxsize=1 << 16)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    # Every split asks for the hash of every file.
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_pointer(data: bytes) -> bool:
    """Whether these are the first bytes of a git-lfs pointer, which mirrors leave in a file's place.

    >>> is_pointer(b"version https://git-lfs.github.com/spec/v1")
    True
    """
    return data.startswith(b"version https://git-lfs")
