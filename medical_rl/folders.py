"""Folders of models: written whole or not at all, and linked where the file system allows."""

from __future__ import annotations

import contextlib
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
