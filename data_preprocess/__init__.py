"""One module or package a data set: `python -m data_preprocess.<set> --source PATH --out DIR`.

Here stand the few words on names and counts that several of them share.
"""

from collections.abc import Iterable, Mapping
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


def file_names(paths: Iterable[Path]) -> str:
    """The names of the files, for a message or a card."""
    return ", ".join(path.name for path in paths)
