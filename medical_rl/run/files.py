"""Folders of models: written whole or not at all, and linked where the file system allows."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing_folder(goal: Path) -> Iterator[Path]:
    """A scratch path beside `goal`; what the block made there replaces `goal`, and a failure leaves the old one."""
    scratch = goal.with_name(f".{goal.name}.{os.getpid()}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        yield scratch
        shutil.rmtree(goal, ignore_errors=True)
        scratch.rename(goal)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def link_or_copy(source: str, target: str) -> str:
    """`target`, a hard link to `source` where the file system allows, else a copy. For files never edited in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def write_json(path: Path, content) -> None:
    """None; writes `content` atomically: a reader sees the old file or the new one, never half of it."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        scratch.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's relative names and contents."""
    sha = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        sha.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                sha.update(block)
    return sha.hexdigest()


def stamp(path: Path) -> list:
    """Sizes and modification times below `path`: equal stamps need no second hashing of many gigabytes."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return [[str(f.relative_to(path)), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
