"""READERS: which module reads which dataset.

A reader is a module with `rows(source, split, **params) -> Iterator[Sample]`,
`describe(source, **params) -> dict` and, where its splits are not train, val and test, a
tuple `SPLITS`, or `splits_of(**params)` where they depend on its parameters. A reader that may
leave rows out takes `drops` as well (medical_rl/data/drops.py), one that reads more or less
than its source has `reads(source, **params)`, and one that has reports to retrieve has
`reports(source, *, drops=None, **params)` (medical_rl/data/corpus.py).
To add one, write `data_preprocess/<name>.py` and name it here.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from medical_rl.errors import UserError, unknown

# A plain name is a file of data_preprocess/; a dotted one a module of this package.
READERS = {
    "covid_severity": "covid_severity",
    "custom": "custom",
    "fairvlmed": "fairvlmed",
    "ham10000": "ham10000",
    "heel": "heel",
    "iu_xray": "iu_xray",
    "medmnist": "medmnist",
    "mimic_cxr": "mimic_cxr",
    "mmmu": "mmmu",
    "omnimedvqa": "omnimedvqa",
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
    if "." in READERS[name]:
        return importlib.import_module(READERS[name])
    # Loaded by path under a name of our own: `import medmnist` would be the published package, which imports torch.
    module_name = f"medical_rl_reader_{name}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, folder() / f"{READERS[name]}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        # A half-initialised module must not be found by the next call.
        del sys.modules[module_name]
        raise
    return module


def folder() -> Path:
    """The folder of the preprocessing modules: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "data_preprocess"
    return checkout if checkout.is_dir() else package / "_preprocess"


def splits(reader: ModuleType, params: Mapping | None = None, only: Sequence[str] | None = None) -> tuple[str, ...]:
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
