"""Which training rows R_phi learns grades from, and which are left for the generator to ask about: no patient in both.

Were the generator asked about the pictures whose right answers R_phi has seen, its filter would only remember.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare.grouped import group_of
from medical_rl.errors import UserError
from medical_rl.sample import Sample
from medical_rl.seeding import hash_order


def rated_groups(groups: Iterable[str], rows: int, seed: int) -> set[str]:
    """Groups (patients, lesions, studies) that together have at least `rows` of the rows, drawn with the seed.

    groups  the group of every row
    Raises UserError where that would leave no row.
    """
    sizes = Counter(groups)
    chosen: set[str] = set()
    have = 0
    for group in sorted(sizes, key=lambda g: _order(g, seed)):
        if have >= rows:
            break
        chosen.add(group)
        have += sizes[group]
    if len(chosen) == len(sizes):
        raise UserError(
            f"conf.reward_training.rows={rows} takes all {sizes.total()} training rows for R_phi and leaves none for the generator. Lower it."
        )
    return chosen


def learned(train: Path, rows: int, seed: int) -> Iterator[Sample]:
    """The first `rows` training rows of the groups that R_phi learns from, in the file's order."""
    groups = _groups(train, rows, seed)
    found = 0
    for sample in read_samples(train):
        if group_of(sample) in groups and found < rows:
            found += 1
            yield sample


def first(path: Path, count: int) -> Iterator[Sample]:
    """The first `count` rows of a prepared file."""
    return islice(read_samples(path), count)


def seed_rows(train: Path, count: int, rows: int, seed: int) -> Iterator[Sample]:
    """D_seed: `count` of the rows that R_phi learns from, drawn with the seed. They have their own, true answers."""
    groups = _groups(train, rows, seed)
    ids = [s.id for s in _without_images(train) if group_of(s) in groups]
    chosen = set(sorted(ids, key=lambda i: _order(i, seed))[:count])
    return (sample for sample in read_samples(train) if sample.id in chosen)


def left(train: Path, rows: int, seed: int) -> Iterator[Sample]:
    """The training rows that R_phi does not learn from: the generator may be asked about their images."""
    groups = _groups(train, rows, seed)
    return (sample for sample in read_samples(train) if group_of(sample) not in groups)


def _groups(train: Path, rows: int, seed: int) -> set[str]:
    return rated_groups((group_of(s) for s in _without_images(train)), rows, seed)


def _without_images(train: Path) -> Iterator[Sample]:
    return read_samples(train, with_images=False)


def _order(name: str, seed: int) -> int:
    """A place in a seeded order that does not change when rows are added."""
    return hash_order(f"{seed}/{name}")
