"""READERS: which module reads which dataset, what such a reader is, and the fingerprint of what it prepares.

A reader is a module with

    rows(source, split, *, drops=None, **params)  the `Sample`s of a split; `drops` where rows may be left out
    describe(source, **params)                    {...}: the facts for the data card

and, where they apply,

    SPLITS, or splits_of(**params)                its splits, where they are not train, val and test
    splits_in(source)                             the same, where the source has them
    earlier_card(source, data, prompt)            the card of a set that was prepared before
    content_paths(source, **params)               what decides the rows, where it is not the source alone
    reports(source, *, drops=None, **params)      the reports to retrieve (see medical_rl.data.reports)
    open_source(source, **params)                 the source opened once for a preparation: an object with
                                                  describe(), rows(split, drops), reports(drops) and, where
                                                  it reads what changes the task, warnings() when all is read

`prepare` asks an object of `open_source` where the reader has one: `describe` first (and alone, where the
data are prepared already), then `rows` once for each split with one `Drops` for all, then `reports`. To add a
reader, write `data_preprocess/<name>.py` (or a package) and name it here.
"""

import functools
import hashlib
import importlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from medical_rl.data import reports
from medical_rl.data.prepare.card import sha256
from medical_rl.data.rows import Drops
from medical_rl.data.sources import files
from medical_rl.errors import UserError, check_known
from medical_rl.sample import Sample

READERS = {
    "covid_severity": "medical_rl.data_preprocess.covid_severity",
    "custom": "medical_rl.data_preprocess.custom",
    "fairvlmed": "medical_rl.data_preprocess.fairvlmed",
    "ham10000": "medical_rl.data_preprocess.ham10000",
    "heel": "medical_rl.data_preprocess.heel",
    "iu_xray": "medical_rl.data_preprocess.iu_xray",
    "medmnist": "medical_rl.data_preprocess.medmnist",
    "mimic_cxr": "medical_rl.data_preprocess.mimic_cxr",
    "mmmu": "medical_rl.data_preprocess.mmmu",
    "omnimedvqa": "medical_rl.data_preprocess.omnimedvqa",
    "prepared": "medical_rl.data.prepare.prepared",
    "phantom_reports": "medical_rl.tiny.phantom_reports",
    "phantoms": "medical_rl.tiny.phantoms",
}


def load_reader(name: str) -> ModuleType:
    """The module that reads dataset `name`, loaded once; UserError if no reader has that name."""
    check_known("data reader", name, READERS)
    return importlib.import_module(READERS[name])


def split_names(
    reader: ModuleType, params: Mapping | None = None, only: Sequence[str] | None = None, source=None
) -> tuple[str, ...]:
    """The splits to prepare, in the order in which they are written: the reader's, or those in `only`.

    Raises UserError for one that the reader does not have.
    """
    names = getattr(reader, "SPLITS", ("train", "val", "test"))
    if hasattr(reader, "splits_of"):
        names = reader.splits_of(**(params or {}))
    if hasattr(reader, "splits_in"):
        names = reader.splits_in(source)
    if only is None:
        return tuple(names)
    selected = [only] if isinstance(only, str) else list(only)
    if not selected:
        raise UserError(
            f"conf.data.only=[] leaves nothing to prepare. Name some of {', '.join(names)}, or null for all."
        )
    for split in selected:
        check_known("split to prepare", split, names)
    return tuple(split for split in names if split in selected)


def check_params(reader: ModuleType, name: str, params: Mapping) -> None:
    """Raise UserError, with the parameters there are, for one that the reader does not take."""
    parameters = inspect.signature(getattr(reader, "open_source", reader.rows)).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    # `drops` is for `prepare` to give.
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "drops"]
    for param in params:
        check_known(f"parameter of the reader {name}", param, known)


def open_source(reader: ModuleType, source, params: Mapping) -> Any:
    """The source, opened for one preparation: by the reader, or anew for each question put to it."""
    if hasattr(reader, "open_source"):
        return reader.open_source(source, **params)
    takes_drops = "drops" in inspect.signature(reader.rows).parameters

    def rows(split: str, drops: Drops) -> Iterator[Sample]:
        return reader.rows(source, split, **({"drops": drops} if takes_drops else {}), **params)

    def reports(drops: Drops) -> Iterator[dict]:
        return reader.reports(source, drops=drops, **params)

    describe = functools.partial(reader.describe, source, **params)
    return SimpleNamespace(describe=describe, rows=rows, reports=reports)


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
        paths = [source]
        if hasattr(reader, "content_paths"):
            paths = reader.content_paths(source, **(data.get("params") or {}))
        content = [content_hash(path, out) for path in paths]
    parts = {
        "format": FORMAT,
        "data": settings,
        "content": content,
        "reports": [content_hash(path, out) for path in reports.report_paths(data)],
        "about": about,
        "prompt": prompt,
        "seed": seed,
        "batch_size": batch_size,
        "code": code_hash(reader),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def code_hash(reader: ModuleType) -> str:
    """The SHA-256 of what makes the files: the data layer with its lexicon, and the reader's folder."""
    data = Path(__file__).resolve().parents[1]
    package = data.parent
    paths = {
        package / "sample.py",
        package / "images.py",
        package / "seeding.py",
        package / "parsing" / "lexicon.yaml",
    }
    paths.update(data.rglob("*.py"), Path(reader.__file__).resolve().parent.rglob("*.py"))
    return hashlib.sha256(b"\0".join(map(Path.read_bytes, sorted(paths)))).hexdigest()


def content_hash(source: str | Path | None, out: Path | None = None) -> str | None:
    """The SHA-256 of a file; of a folder, that of its names, sizes and times: reading images takes hours.

    Links are followed, as readers follow them; hidden files and what is in `out` are no part of it.
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
    """Configuration (OmegaConf's included) as dicts, lists and scalars."""
    if isinstance(value, Mapping):
        return {str(key): plain_config(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(map(plain_config, value))
    return str(value) if isinstance(value, Path) else value
