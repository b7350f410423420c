"""Arrays of an `.npz` file, streamed: headers for free, rows in chunks, nothing ever unpickled.

`numpy.load` would hold a whole member at once, which for PathMNIST at 224 pixels is 13 GB.
"""

import contextlib
import math
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from medical_rl.data.sources.files import is_lfs_pointer
from medical_rl.errors import UserError

Header = tuple[tuple[int, ...], np.dtype]


class HoldsObjects(UserError):
    """An array of Python objects, which is never unpickled."""


# EOFError and zlib.error come from a damaged member, ValueError from numpy's header parser.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError)


def headers(path: Path | str) -> dict[str, Header]:
    """`{name: (shape, dtype)}` of every array in the file, from the headers alone.

    Raises UserError if the file is missing, is not a readable npz, or holds a pickled object.
    """
    arrays = {}
    with _archive(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as stream:
                    arrays[member.removesuffix(".npy")] = _header(stream, path, member)
    return arrays


def stream(path: Path | str, name: str, chunk_bytes: int = 1 << 24) -> Iterator[np.ndarray]:
    """The rows of array `name`, about `chunk_bytes` in memory at a time; UserError if the file ends early."""
    with _archive(path) as archive, archive.open(f"{name}.npy") as member:
        shape, dtype = _header(member, path, name)
        row_bytes = dtype.itemsize * math.prod(shape[1:])
        chunk = max(1, chunk_bytes // max(1, row_bytes))
        for start in range(0, shape[0], chunk):
            rows = min(chunk, shape[0] - start)
            data = member.read(rows * row_bytes)
            if len(data) != rows * row_bytes:
                where = f"array {name} ends within rows {start} to {start + rows - 1}"
                raise UserError(f"{path} is truncated: {where}.")
            yield from np.frombuffer(data, dtype).reshape(rows, *shape[1:])


def read_arrays(
    path: Path | str, max_bytes: int, only: Collection[str] | None = None, objects: list[str] | None = None
) -> dict[str, np.ndarray]:
    """Every array of a small file, single numbers and texts included.

    only     the names of the arrays to read; None reads all
    objects  takes the names of arrays that hold Python objects, which are left out; without it one is a
             UserError

    Raises UserError where they are over `max_bytes` in all. Sizes are read from the headers, before anything
    is unpacked: a file of 1 MB may hold 1 GB of zeros.
    """
    arrays, total = {}, 0
    with _archive(path) as archive:
        for member in archive.namelist():
            name = member.removesuffix(".npy")
            if name == member or (only is not None and name not in only):
                continue
            with archive.open(member) as stream:
                try:
                    shape, dtype = _header(stream, path, member, single=True)
                except HoldsObjects:
                    if objects is None:
                        raise
                    objects.append(name)
                    continue
                size = dtype.itemsize * math.prod(shape)
                total += size
                if total > max_bytes:
                    told = f"{size:,} bytes in {member}; more than {max_bytes:,} in all are not read"
                    raise UserError(f"{path} holds {told}.")
                data = stream.read(size)
            if len(data) != size:
                raise UserError(f"{path} is truncated: array {member} ends early.")
            arrays[name] = np.frombuffer(data, dtype).reshape(shape)
    return arrays


def _header(stream, path: Path | str, name: str, single: bool = False) -> Header:
    npy = np.lib.format
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran_order, dtype = read(stream)
    if dtype.hasobject:
        raise HoldsObjects(
            f"{path} holds Python objects in {name}. Reading them could run any program, so it is refused: "
            "save the array again with a numeric dtype."
        )
    if fortran_order and len(shape) > 1:
        raise UserError(f"{path} holds {name} in Fortran order; save it again with numpy.ascontiguousarray.")
    if not shape and not single:
        raise UserError(f"{path} holds a single number in {name}, not an array.")
    return shape, dtype


@contextlib.contextmanager
def _archive(path: Path | str) -> Iterator[zipfile.ZipFile]:
    """The opened zip; whatever goes wrong while it is read is told with its path."""
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path.absolute()}.") from error
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        with path.open("rb") as file:
            if is_lfs_pointer(file.read(40)):
                reason = "it is a git-lfs pointer, not the file itself"
        raise UserError(f"{path.absolute()} cannot be read as an npz file: {reason}.") from error
    except OSError as error:
        raise UserError(f"{path.absolute()} cannot be read: {error.strerror or error}.") from error
