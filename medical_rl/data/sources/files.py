"""Files of a source folder: its images found, each read whole or left out with a reason in `drops`.

Links are the user's own and are followed. Names that come from a table are only ever looked up among
the files found, so no table can make a reader open anything else.

A PNG or JPEG is kept as it came; any other format that can be read (TIFF, BMP, ...) becomes a PNG,
since a browser and other tools must read it too. Every image is decoded once, so a truncated one is
met here and not in the middle of training.
"""

import difflib
import functools
import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from medical_rl import images
from medical_rl.data.rows import EXAMPLES, Drops
from medical_rl.data.sources.grey_levels import Levels, MissingPydicom, eight_bits
from medical_rl.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
READABLE = (*SUFFIXES, ".dcm", ".dicom")
WEB_ADDRESS = "its image is a web address: download the images, and name their files"
MAX_BYTES = 1 << 28


class Picture(NamedTuple):
    """An image: the bytes of a PNG or JPEG as a `Sample` keeps them, and decoded as RGB."""

    data: bytes
    image: Image.Image

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.height, self.image.width


class ImageIndex:
    """The images below a folder by the names that a table gives them."""

    def __init__(self, folder: Path) -> None:
        self._paths: dict[str, list[Path]] = {}
        for path in below(folder):
            self._paths.setdefault(image_stem(path.name), []).append(path)

    def find(self, name: str, folder: str = "") -> list[Path]:
        """The files that `name` may mean: [] or one, or several where there is no telling which.

        A name may end ".png.bmp" in a table and ".png" on the disk, so suffixes decide only among several;
        so does `folder`, the name of one above the file.
        """
        fitting = self._paths.get(image_stem(name), [])
        fitting = [path for path in fitting if folder in path.parts] or fitting
        return [path for path in fitting if composed_name(path.name) == composed_name(name)] or fitting

    def disputed(self, names: Iterable[tuple[str, str]]) -> set[str]:
        """Of (name, folder) pairs the names whose one file another name means too, not its own name."""
        names_of: dict[Path, set[str]] = {}
        for name, folder in names:
            fitting = self.find(name, folder)
            if len(fitting) == 1:
                names_of.setdefault(fitting[0], set()).add(name)
        disputed = set()
        for path, file_names in names_of.items():
            if len(file_names) > 1:
                disputed.update(n for n in file_names if composed_name(n) != composed_name(path.name))
        return disputed


class ImageFolder:
    """The images below a folder by their paths as tables write them.

    Case, separators and suffix may differ. The whole path from the folder on is compared, so that no image of
    another sub-folder is taken.
    `is_listed` is False for a folder that nobody named, which is not searched: paths are then exact.
    """

    def __init__(self, root: Path, grey_levels: Levels | None = None, is_listed: bool = True) -> None:
        self.root, self.grey_levels = Path(os.path.abspath(root)), grey_levels
        self.is_listed = is_listed
        self._told = 0

    @functools.cached_property
    def _paths(self) -> dict[str, list[Path]]:
        paths: dict[str, list[Path]] = {}
        for path in below(self.root, READABLE) if self.is_listed else ():
            paths.setdefault(_path_key(path.relative_to(self.root).as_posix()), []).append(path)
        return paths

    def find(self, name: str) -> list[Path]:
        """The files that `name` may mean: the one of this very path, else those that differ in its spelling.

        Raises UserError, whose message is the reason of a drop, for a web address or a path out of the folder.
        """
        if re.match(r"[a-z][a-z0-9+.-]+://", name.strip(), re.IGNORECASE):
            raise UserError(WEB_ADDRESS)
        exact = path_inside(self.root, name)
        if exact is not None and exact.is_file():
            return [exact]
        plain = re.sub(r"^[A-Za-z]:(?=/)", "", name.strip().replace("\\", "/"))
        inside = path_inside(self.root, plain)
        if inside is None:
            raise UserError("the path of its image leaves the image folder")
        fitting = self._paths.get(_path_key(inside.relative_to(self.root).as_posix()), [])
        return [path for path in fitting if path.name.casefold() == inside.name.casefold()] or fitting

    def nearest(self, name: str) -> str:
        """What a card says of a name that is not there: the folder, and the file whose path is nearest."""
        self._told += 1
        key, near = _path_key(name.replace("\\", "/")), []
        if self._told <= EXAMPLES:  # a card shows no more, and a long list takes seconds to compare with
            near = [path for path in self._paths if os.path.basename(path) == os.path.basename(key)]
            near = near or difflib.get_close_matches(key, self._paths, n=1)
        hint = (
            f"; the nearest file is {self._paths[near[0]][0].relative_to(self.root).as_posix()}"
            if near
            else ""
        )
        return f"{name} is not in {self.root.name}{hint}"

    def read(self, name: str, row: str, drops: Drops) -> bytes | None:
        """The encoded image called `name`; None, told to `drops`, where it cannot be used."""
        try:
            paths = self.find(name)
        except UserError as error:
            return drops.add(row, str(error), name)
        if not paths:
            return drops.add(row, "its image is not in the folder", self.nearest(name))
        picture = read_only_picture(paths, row, drops, grey_levels=self.grey_levels)
        return picture and picture.data


def _path_key(path: str) -> str:
    folder, name = os.path.split(path)
    return composed_name(os.path.join(folder, image_stem(name))).casefold()


def source_folder(source, what: str) -> Path:
    """The folder `source`; UserError, ending in `what` it should hold, where there is none."""
    path = Path(os.path.expanduser(source or ""))  # Path.expanduser raises where there is no such user
    if not source or not path.is_dir():
        raise UserError(
            f"There is no folder {path.absolute() if source else '(source is not given)'}. {what}"
        )
    return path


def below(folder: Path, suffixes: Sequence[str] | None = SUFFIXES, without: Path | None = None) -> list[Path]:
    """Every file below `folder` with one of the suffixes in any case, sorted, without hidden ones.

    suffixes  None takes every file
    without   a folder that is left out with all it holds
    """
    paths, visited = [], {os.path.realpath(without)} if without else set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:  # a link to a folder above would never end
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in names:
            is_wanted = suffixes is None or os.path.splitext(name)[1].lower() in suffixes
            if is_wanted and not name.startswith(".") and os.path.isfile(os.path.join(parent, name)):
                paths.append(Path(parent, name))
    return sorted(paths)


def composed_name(name: str) -> str:
    """A name in one Unicode form: macOS stores "ü" as two characters, and tables have one."""
    return unicodedata.normalize("NFC", name.strip())


def image_stem(name: str) -> str:
    """A file's name without its image suffixes, all of them.

    >>> list(map(image_stem, ("DX.1.2.png.bmp", "scan 3.JPG", "CR.1.2")))
    ['DX.1.2', 'scan 3', 'CR.1.2']
    """
    base, suffix = os.path.splitext(name)
    return image_stem(base) if base and suffix.lower() in SUFFIXES else composed_name(name)


def read_picture(
    path: Path | None, row: str, drops: Drops, what: str = "image", grey_levels: Levels | None = None
) -> Picture | None:
    """The image at `path`, decoded to prove that it is whole; None, told to `drops`, where it is not."""
    if path is None:
        return drops.add(row, f"its {what} is not in the folder")
    try:
        if path.stat().st_size > MAX_BYTES:
            return drops.add(row, f"its {what} is over {MAX_BYTES >> 20} MiB", path.name)
        data = path.read_bytes()
    except OSError as error:
        return drops.add(row, f"its {what} cannot be read", f"{path.name}: {error.strerror or error}")
    return _picture(data, row, drops, what, path.name, grey_levels)


def _picture(
    data: bytes, row: str, drops: Drops, what: str, name: str = "", grey_levels: Levels | None = None
) -> Picture | None:
    if is_lfs_pointer(data):
        return drops.add(row, f"its {what} is a git-lfs pointer, not the file itself", name)
    try:
        background = images.BLACK if what == "mask" else images.WHITE
        data, scaled = eight_bits(data, grey_levels)
        stored, image, settled = images.settle(data, background)
        drops.settle(row if what == "image" else f"{row} ({what})", scaled + settled)
        return Picture(stored, image)
    except MissingPydicom:
        raise
    except images.Narrow as error:
        return drops.add(row, f"its {what} is of a shape that image processors refuse", f"{name}: {error}")
    except UserError as error:
        return drops.add(row, f"its {what} cannot be decoded", f"{name}: {error}" if name else str(error))


def read_only_picture(
    paths: Sequence[Path], row: str, drops: Drops, what: str = "image", grey_levels: Levels | None = None
) -> Picture | None:
    """The picture of the files that go by a row's id: copies are one; where they differ none is taken."""
    # Only files of one size are read to compare them.
    if len(paths) > 1:
        sizes = {path.stat().st_size for path in paths}
        if len(sizes) > 1 or len(set(map(content_hash, paths))) > 1:
            names = ", ".join(f"{path.parent.name}/{path.name}" for path in paths)
            return drops.add(row, f"several files that differ could be its {what}", names)
    return read_picture(paths[0] if paths else None, row, drops, what, grey_levels)


def content_hash(path: Path) -> str:
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


def is_lfs_pointer(data: bytes) -> bool:
    """Whether these are the first bytes of a git-lfs pointer, which mirrors leave in a file's place."""
    return data.startswith(b"version https://git-lfs")


def path_inside(root: Path, name: str) -> Path | None:
    """The path of `name` (relative to `root`, or absolute) below `root`; None where it leads out of it.

    Links are the user's own and are followed.

    >>> path_inside(Path("/data"), "a/../b.png").as_posix(), path_inside(Path("/data"), "../b.png")
    ('/data/b.png', None)
    """
    root = Path(os.path.abspath(root))
    path = Path(os.path.normpath(root / str(name)))
    return path if path != root and path.is_relative_to(root) and "\0" not in str(name) else None


def checked_image(
    data: bytes | None, row: str, drops: Drops, grey_levels: Levels | None = None
) -> bytes | None:
    """The encoded image that a row holds itself; None, told to `drops`, where it cannot be used."""
    if not data:
        return drops.add(row, "its image is empty")
    picture = _picture(data, row, drops, "image", grey_levels=grey_levels)
    return picture and picture.data
