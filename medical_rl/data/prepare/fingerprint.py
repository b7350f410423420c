"""The fingerprint of a preparation: equal exactly where the prepared files would be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from medical_rl.data.prepare import corpus, readers
from medical_rl.data.sources import files

# What `prepare` reads of a data configuration; other keys are for other stages.
READ = (
    "name",
    "reader",
    "params",
    "shots",
    "whole_from",
    "limit",
    "test_per_class",
    "train_repeat",
    "knowledge",
    "reports",
)

# Which splits are prepared, and how training rows are drawn besides `shots` and `limit`.
SAMPLING = ("only", "train_where", "balanced", "top_k", "score")

# Raise it when the same settings come to mean other files.
FORMAT = 2


def fingerprint(
    data: Mapping,
    prompt: Mapping,
    seed: int,
    batch_size: int,
    about: Mapping,
    reader: ModuleType,
    out: Path | None = None,
) -> str:
    """A SHA-256 over all that decides the content of prepared files, the code included.

    Where the source lies is not part of it, nor is `out`, which may be inside the source. What a reader reads and that
    may lie elsewhere is the reader's to tell: a folder by its `reads`, a file's content in `about`.
    """
    source = data.get("source")
    parts = {
        "format": FORMAT,
        "data": {
            **{key: data.get(key) for key in (*READ, *SAMPLING)},
            "source": Path(source).name if source else None,
        },
        "content": about.get("md5")
        or [content(path, out) for path in readers.reads(reader, source, data.get("params") or {})],
        "reports": [content(path, out) for path in corpus.named(data)],
        "about": about,
        "prompt": prompt,
        "seed": seed,
        "batch_size": batch_size,
        "code": code(reader),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def code(reader: ModuleType) -> str:
    """The SHA-256 of the programs that make the files: those of the data layer, and of the reader's folder."""
    here = Path(__file__).resolve().parent
    package = here.parents[1]
    paths = {
        package / "sample.py",
        package / "images.py",
        *here.parent.rglob("*.py"),
        *Path(reader.__file__).resolve().parent.rglob("*.py"),
    }
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sorted(paths))).hexdigest()


def content(source: str | Path | None, out: Path | None = None) -> str | None:
    """The SHA-256 of a file; of a folder, that of its names, sizes and times, since reading images takes hours.

    Links are followed, as readers follow them; hidden files and what is in `out` are no part of it.

    >>> content(None) is None
    True
    """
    if not source:
        return None
    path = Path(source).expanduser()
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    entries = [
        (p.relative_to(path).as_posix(), p.stat()) for p in files.below(path, suffixes=None, without=out)
    ]
    return hashlib.sha256(
        repr([(name, s.st_size, s.st_mtime_ns) for name, s in entries]).encode()
    ).hexdigest()


def plain(value):
    """Configuration (OmegaConf's included) as dicts, lists and scalars.

    >>> plain({"params": {"sizes": (1, 2)}, "source": Path("a.npz")})
    {'params': {'sizes': [1, 2]}, 'source': 'a.npz'}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
