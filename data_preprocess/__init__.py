"""One module or package a data set: `python -m data_preprocess.<set> --source PATH --out DIR`.

Here stand the few words on names and counts that several of them share.
"""

from collections.abc import Iterable, Mapping
from itertools import filterfalse
from pathlib import Path


def count_differences(counts: Mapping, official: Mapping, what: str = "rows") -> list[str]:
    """A clause for each part of a set that does not have its published count.

    >>> count_differences({"train": 12, "test": 1390}, {"train": 1089, "test": 1390})
    ['train has 12 rows, official 1,089']
    """
    clauses = []
    for name, number in official.items():
        if counts[name] != number:
            clauses.append(f"{name} has {counts[name]:,} {what}, official {number:,}")
    return clauses


def missing_names(wanted: Iterable[str], there: Iterable[str]) -> list[str]:
    """The wanted names that are not there, in their order."""
    return list(filterfalse(set(there).__contains__, wanted))


def file_names(paths: Iterable[Path]) -> str:
    """The names of the files, for a message or a card.

    >>> file_names([Path("a/train.json"), Path("a/test.json")])
    'train.json, test.json'
    """
    return ", ".join(path.name for path in paths)
