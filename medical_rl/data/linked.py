"""Rows that belong together: those that share a patient, a study or an image, and files that are one image."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from medical_rl.data import files


def linked(rows: Sequence[Iterable[Hashable]]) -> list[int]:
    """For each row the first row it is linked to: rows that share any key, directly or through others.

    >>> linked([{"a"}, {"b"}, {"b", "c"}, {"c"}, {"d"}])
    [0, 1, 1, 1, 4]
    """
    parent = list(range(len(rows)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    first: dict[Hashable, int] = {}
    for row, keys in enumerate(rows):
        for key in keys:
            one, other = sorted((root(first.setdefault(key, row)), root(row)))
            parent[other] = one
    return [root(row) for row in range(len(rows))]


def same_content(paths: Iterable[Path]) -> dict[Path, Path]:
    """{path: the first path with the same bytes}, for the files that exist; only files of equal size are read."""
    by_size: dict[int, list[Path]] = {}
    for path in sorted(set(paths)):
        if path.is_file():
            by_size.setdefault(path.stat().st_size, []).append(path)
    found: dict[Path, Path] = {}
    for alike in by_size.values():
        first: dict[str, Path] = {}
        for path in alike:
            found[path] = path if len(alike) == 1 else first.setdefault(files.content(path), path)
    return found
