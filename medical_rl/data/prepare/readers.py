"""READERS: which module reads which dataset.

A reader is a module with `rows(source, split, **params) -> Iterator[Sample]`,
`describe(source, **params) -> dict` and, where its splits are not train, val and test, a
tuple `SPLITS`, or `splits_of(**params)` where they depend on its parameters. A reader that may
leave rows out takes `drops` as well (medical_rl/data/drops.py), one that reads more or less
than its source has `reads(source, **params)`, and one that has reports to retrieve has
`reports(source, *, drops=None, **params)` (medical_rl/data/prepare/corpus.py).
To add one, write `data_preprocess/<name>.py` (or a package of that name) and name it here.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from types import ModuleType

from medical_rl.errors import UserError, unknown

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
    "phantom_reports": "medical_rl.tiny.phantom_reports",
    "phantoms": "medical_rl.tiny.phantoms",
}

DEFAULT_SPLITS = ("train", "val", "test")


def load_reader(name: str) -> ModuleType:
    """The module that reads dataset `name`, loaded once; UserError if no reader has that name.

    >>> load_reader("mednist")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    medical_rl.errors.UserError: There is no data reader 'mednist'. Did you mean 'medmnist'? Available: ...medmnist, ...
    """
    if name not in READERS:
        raise unknown("data reader", name, READERS)
    return importlib.import_module(READERS[name])


def splits(
    reader: ModuleType, params: Mapping | None = None, only: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The names of the splits to prepare, in the order in which they are written: the reader's, or of those `only` some.

    UserError for one that the reader does not have.
    """
    found = getattr(reader, "SPLITS", DEFAULT_SPLITS)
    if of := getattr(reader, "splits_of", None):
        found = of(**(params or {}))
    if only is None:
        return tuple(found)
    wanted = [only] if isinstance(only, str) else list(only)
    if not wanted:
        raise UserError(
            f"conf.data.only=[] leaves nothing to prepare. Name some of {', '.join(found)}, or null for all."
        )
    for split in wanted:
        if split not in found:
            raise unknown("split to prepare", split, found)
    return tuple(split for split in found if split in wanted)


def reads(reader: ModuleType, source, params: Mapping) -> list:
    """The files and folders whose content decides the rows: what the reader's own `reads` names, else the source."""
    of = getattr(reader, "reads", None)
    return list(of(source, **params)) if of else [source]


def takes_drops(reader: ModuleType) -> bool:
    """Whether the reader tells which rows it leaves out: `rows` has a keyword `drops`."""
    return "drops" in inspect.signature(reader.rows).parameters


def check_params(reader: ModuleType, name: str, params: Mapping) -> None:
    """None if `rows` of the reader takes every one of `params`; else a UserError naming those it takes."""
    parameters = inspect.signature(reader.rows).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    # `drops` is for `prepare` to give.
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "drops"]
    for given in params:
        if given not in known:
            raise unknown(f"parameter of the reader {name}", given, known)
