"""Files of a source folder: its images found, each read whole or left out with a reason.

Links are the user's own and are followed. Names that come from a table are only ever looked up among
the files found, so no table can make a reader open anything else.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from medical_rl.data import images
from medical_rl.data.drops import Drops
from medical_rl.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MAX_BYTES = 1 << 28


class Picture(NamedTuple):
    """An image file's bytes as they came, and the decoded RGB image."""

    data: bytes
    image: Image.Image

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.height, self.image.width


def source_folder(source, what: str) -> Path:
    """The folder `source`; UserError where there is none. `what` says what it should hold, and where to get it."""
    path = Path(source or "").expanduser()
    if not source or not path.is_dir():
        raise UserError(f"There is no folder {path.absolute() if source else '(source is not given)'}. {what}")
    return path


def below(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """Every file below `folder` with one of the suffixes, in any case, sorted; hidden and macOS's own are not looked at."""
    found, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:  # a link to a folder above would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        wanted = (n for n in names if not n.startswith(".") and os.path.splitext(n)[1].lower() in suffixes)
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
        return Picture(data, images.decode(data))
    except UserError as error:
        return drops.add(row, f"its {what} cannot be decoded", f"{path.name}: {error}")


def is_pointer(data: bytes) -> bool:
    """Whether these are the first bytes of a git-lfs pointer, which mirrors leave in a file's place.

    >>> is_pointer(b"version https://git-lfs.github.com/spec/v1")
    True
    """
    return data.startswith(b"version https://git-lfs")
