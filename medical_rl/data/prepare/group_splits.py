"""Seeded splits that keep every group (patient, lesion or study) whole and every class in proportion.

Rows that belong together: those that share a patient, a study or an image, and files that are one image.
"""

import collections
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path

from medical_rl.data.sources import files
from medical_rl.errors import UserError
from medical_rl.seeding import hash_order


def split_by_group(rows: Iterable[tuple[str, str]], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """{group: split} for (group, class) pairs; "train" gets what the `shares` of the other splits leave.

    Each class is divided on its own, a group with the class of its first row. Which groups go where
    follows from a hash of seed and group, so row order does not matter. A class with more groups than
    there are splits has a row in each.

    >>> groups = [(f"lesion {i}", "nv") for i in range(10)]
    >>> splits = split_by_group(groups, {"test": 0.2, "val": 0.1}, seed=0)
    >>> list(splits.values()).count("test"), list(splits.values()).count("val")
    (2, 1)
    """
    _check_shares(shares)
    sizes: collections.Counter[str] = collections.Counter()
    classes: dict[str, str] = {}
    for group, name in rows:
        sizes[group] += 1
        classes.setdefault(group, name)
    members = collections.defaultdict(list)
    for group in sorted(sizes, key=lambda group: (hash_order(f"{seed}:{group}"), group)):
        members[classes[group]].append(group)
    splits: dict[str, str] = {}
    for groups in members.values():
        splits |= _split_class(groups, sizes, shares)
    return splits


def _split_class(groups: list[str], sizes: Mapping[str, int], shares: Mapping[str, float]) -> dict[str, str]:
    """The groups of one class, in their drawn order, each split filled up to its share of rows."""
    total = sum(sizes[group] for group in groups)
    least = 1 if len(groups) > len(shares) else 0
    splits = dict.fromkeys(groups, "train")
    for split, share in shares.items():
        wanted = max(round(share * total), least) if share else 0
        free = [group for group in groups if splits[group] == "train"]
        left = wanted
        for group in free:
            if sizes[group] <= left:
                splits[group] = split
                left -= sizes[group]
        if left == wanted > 0:  # every group is larger than this share; without one the split would be empty
            splits[min(free, key=sizes.get)] = split
    return splits


def _check_shares(shares: Mapping[str, float]) -> None:
    usable = all(isinstance(share, int | float) and 0 <= share < 1 for share in shares.values())
    if not usable or sum(shares.values()) >= 1:
        listed = ", ".join(f"{split}={share!r}" for split, share in shares.items())
        raise UserError(
            f"The shares of splits must be numbers from 0 that leave something for train, not {listed}."
        )


def link_rows(rows: Sequence[Iterable[Hashable]]) -> list[int]:
    """For each row the first row it is linked to: rows that share any key, directly or through others.

    >>> link_rows([{"a"}, {"b"}, {"b", "c"}, {"c"}, {"d"}])
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


def first_with_same_content(paths: Iterable[Path]) -> dict[Path, Path]:
    """{path: the first path with the same bytes} of the files there are; those of equal size are read."""
    by_size: dict[int, list[Path]] = collections.defaultdict(list)
    for path in sorted(set(paths)):
        if path.is_file():
            by_size[path.stat().st_size].append(path)
    first: dict[Path, Path] = {}
    for same_size in by_size.values():
        first_with_hash: dict[str, Path] = {}
        for path in same_size:
            if len(same_size) == 1:
                first[path] = path
            else:
                first[path] = first_with_hash.setdefault(files.content_hash(path), path)
    return first
