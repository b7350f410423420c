"""The fingerprint of a preparation: equal exactly where the prepared files would be."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from medical_rl.data.prepare import corpus, readers
from medical_rl.data.prepare.card import sha256
from medical_rl.data.sources import files

# What `prepare` reads of a data configuration; other keys are for other stages.
READ = ("name", "reader", "params", "shots", "whole_from", "limit", "test_per_class", "train_repeat")
READ += ("knowledge", "reports", "only", "train_where", "balanced", "top_k", "score")

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

    Where the source lies is not part of it, nor is `out`, which may be inside the source. What a reader reads
    and that may lie elsewhere is the reader's to tell: a folder by its `content_paths`, a file's content in
    `about`.
    """
    source = data.get("source")
    settings = {key: data.get(key) for key in READ}
    settings["source"] = Path(source).name if source else None
    content = about.get("md5")
    if not content:
        paths = readers.content_paths(reader, source, data.get("params") or {})
        content = [content_hash(path, out) for path in paths]
    parts = {
        "format": FORMAT,
        "data": settings,
        "content": content,
        "reports": [content_hash(path, out) for path in corpus.report_paths(data)],
        "about": about,
        "prompt": prompt,
        "seed": seed,
        "batch_size": batch_size,
        "code": code_hash(reader),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def code_hash(reader: ModuleType) -> str:
    """The SHA-256 of the programs that make the files: the data layer's, and those of the reader's folder."""
    data = Path(__file__).resolve().parents[1]
    package = data.parent
    paths = {package / "sample.py", package / "images.py", package / "seeding.py"}
    paths.update(data.rglob("*.py"), Path(reader.__file__).resolve().parent.rglob("*.py"))
    return hashlib.sha256(b"\0".join(map(Path.read_bytes, sorted(paths)))).hexdigest()


def content_hash(source: str | Path | None, out: Path | None = None) -> str | None:
    """The SHA-256 of a file; of a folder, that of its names, sizes and times: reading images takes hours.

    Links are followed, as readers follow them; hidden files and what is in `out` are no part of it.

    >>> content_hash(None) is None
    True
    """
    if not source:
        return None
    path = Path(source).expanduser()
    if path.is_file():
        return sha256(path)
    entries = []
    for file in files.below(path, suffixes=None, without=out):
        status = file.stat()
        entries.append((file.relative_to(path).as_posix(), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(repr(entries).encode()).hexdigest()


def plain_config(value):
    """Configuration (OmegaConf's included) as dicts, lists and scalars.

    >>> plain_config({"params": {"sizes": (1, 2)}, "source": Path("a.npz")})
    {'params': {'sizes': [1, 2]}, 'source': 'a.npz'}
    """
    if isinstance(value, Mapping):
        return {str(key): plain_config(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(map(plain_config, value))
    return str(value) if isinstance(value, Path) else value
