"""The output folder: never the user's own files, written in a hidden folder, moved at the end."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medical_rl.data import reports
from medical_rl.data.parquet import SCHEMA
from medical_rl.data.prepare import card as cards
from medical_rl.errors import UserError

PREFIX = ".preparing-"


def refuse_others(out: Path, source, splits: Iterable[str]) -> None:
    """Raise UserError where the source, or a file that no preparation wrote, would be replaced."""
    names = ["README.md", reports.FILE] + [f"{split}.parquet" for split in splits]
    place = os.path.realpath(os.path.expanduser(source)) if source else None
    if place in map(os.path.realpath, [out] + [out / name for name in names]):
        raise UserError(
            f"The output folder {out.absolute()} is where the source lies, which would be overwritten."
        )
    listed = cards.listed_files(out)
    others = []
    for name in names:
        if (out / name).exists() and name not in listed and not _is_ours(out / name, listed):
            others.append(name)
    if others:
        raise UserError(
            f"{out.absolute()} holds {', '.join(others)}, which no preparation wrote and this one would "
            "overwrite. Give another output folder, or move them away."
        )


@contextlib.contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A new hidden folder in `out`, removed at the end; what killed preparations left is removed first.

    A live preparation holds a lock on its folder, which its death releases, so nobody's work is taken away.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _locked(out, wait=True):
            for abandoned in out.glob(f"{PREFIX}*"):
                # Another preparation at work holds the lock of its own.
                with contextlib.suppress(OSError), _locked(abandoned, wait=False):
                    shutil.rmtree(abandoned, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=out))
            lock = _lock(folder, wait=False)
    except OSError as error:
        raise UserError(
            f"The output folder {out.absolute()} cannot be written: {error.strerror or error}."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def move(card: dict, folder: Path, out: Path) -> None:
    """Move everything into place, without a card in between, so that a mixture is never taken for whole."""
    stale = cards.listed_files(out) - set(card["files"])
    (out / "card.json").unlink(missing_ok=True)
    for name in card["files"]:
        os.replace(folder / name, out / name)
    for name in stale:
        (out / name).unlink(missing_ok=True)
    cards.write_card(card, out)


def _is_ours(path: Path, listed: set[str]) -> bool:
    """Whether we wrote a file that no card lists, because the card was lost or a kill came before it."""
    if path.name == "README.md":
        return bool(listed) or cards.MADE_BY in path.read_text(encoding="utf-8", errors="replace")
    try:
        return pq.read_schema(path).names in (SCHEMA.names, reports.SCHEMA.names)
    except (pa.ArrowInvalid, OSError):
        return False


@contextlib.contextmanager
def _locked(folder: Path, wait: bool) -> Iterator[None]:
    lock = _lock(folder, wait)
    try:
        yield
    finally:
        os.close(lock)


def _lock(folder: Path, wait: bool) -> int:
    """The open folder, locked where its disk knows locks; without `wait` BlockingIOError where it is held."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        pass  # Some network disks have no locks: two preparations at a time are then the user's to avoid.
    return descriptor
