"""Seeded splits that keep every group (patient, lesion or study) whole and every class in proportion.

Rows that belong together: those that share a patient, a study or an image, and files that are one image.
"""

from __future__ import annotations

import collections
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path

from medical_rl.data.sources import files
from medical_rl.errors import UserError
from medical_rl.sample import Sample
from medical_rl.seeding import hash_order


def grouped(rows: Iterable[tuple[str, str]], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """{group: split} for (group, class) pairs; "train" gets what the `shares` of the other splits leave.

    Each class is divided on its own, a group with the class of its first row. Which groups go where
    follows from a hash of seed and group, so row order does not matter. A class with more groups than
    there are splits has a row in each.

    >>> found = grouped([(f"lesion {i}", "nv") for i in range(10)], {"test": 0.2, "val": 0.1}, seed=0)
    >>> sorted(found.values()).count("test"), sorted(found.values()).count("val")
    (2, 1)
    """
    _check(shares)
    sizes, classes = collections.Counter(), {}
    for group, name in rows:
        sizes[group] += 1
        classes.setdefault(group, name)
    members = collections.defaultdict(list)
    for group in sorted(sizes, key=lambda group: (_rank(seed, group), group)):
        members[classes[group]].append(group)
    found = {}
    for groups in members.values():
        found |= _divided(groups, sizes, shares)
    return found


def _divided(groups: list[str], sizes: Mapping[str, int], shares: Mapping[str, float]) -> dict[str, str]:
    """The groups of one class, in their drawn order, each split filled up to its share of rows."""
    total = sum(sizes[group] for group in groups)
    least = 1 if len(groups) > len(shares) else 0
    found: dict[str, str] = {}
    for split, share in shares.items():
        left = wanted = max(round(share * total), least) if share else 0
        free = [group for group in groups if group not in found]
        for group in free:
            if sizes[group] <= left:
                found[group] = split
                left -= sizes[group]
        if left == wanted > 0:  # every group is larger than this share; without one the split would be empty
            found[min(free, key=sizes.get)] = split
    return {group: found.get(group, "train") for group in groups}


def _rank(seed: int, group: str) -> int:
    return hash_order(f"{seed}:{group}")


def _check(shares: Mapping[str, float]) -> None:
    good = all(isinstance(share, int | float) and 0 <= share < 1 for share in shares.values())
    if not good or sum(shares.values()) >= 1:
        told = ", ".join(f"{split}={share!r}" for split, share in shares.items())
        raise UserError(
            f"The shares of splits must be numbers from 0 that leave something for train, not {told}."
        )


def group_of(sample: Sample) -> str:
    """What must not be in both parts: the row's group, itself where it has none."""
    return sample.group or sample.id


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
