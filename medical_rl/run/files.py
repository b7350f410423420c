"""Files and folders written whole or not at all, hard links, locks, and hashes of content."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary path in the same folder that becomes `path` on success and is removed on any failure.

    A reader of `path` sees the old file or the new one, never half of it; a missing folder is made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str, encoding: str = "utf-8") -> None:
    """Write `text` to `path` atomically; on failure `path` holds what it held before."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding=encoding)


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path | str, content: Any) -> None:
    """Write `content` as indented JSON to `path` atomically."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A scratch path that replaces the folder `path` if the block ends well; a failure leaves the old one.

    Only a kill between two renames leaves none at `path`.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.new")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    for leftover in (scratch, old):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        yield scratch
        if path.exists():
            path.rename(old)
        scratch.rename(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def try_lock(path: Path) -> FileLock | None:
    """The lock of the file `path`, held until `release()`; None where another process holds it.

    Some network disks have no locks. There two processes at a time are the user's to avoid.
    """
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
            raise
    return lock


def link_or_copy(source: str, target: str) -> str:
    """Link `target` to `source` (files never edited in place) where the file system allows, else copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def digest(path: Path) -> str:
    """The SHA-256 of a file, or of a folder's relative names and contents."""
    sha = hashlib.sha256()
    for file in _files(path):
        sha.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                sha.update(block)
    return sha.hexdigest()


def stamp(path: Path) -> list:
    """Sizes and modification times below `path`: equal stamps need no second hashing of many gigabytes."""
    facts = [(file, file.stat()) for file in _files(path)]
    return [[str(file.relative_to(path)), stat.st_size, stat.st_mtime_ns] for file, stat in facts]


def _files(path: Path) -> list[Path]:
    """The file itself, or all files below a folder, in order."""
    return [path] if path.is_file() else sorted(filter(Path.is_file, path.rglob("*")))
