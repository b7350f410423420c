"""Which training rows R_phi learns grades from, and which are the generator's: no patient in both.

Were the generator asked about the pictures whose right answers R_phi has seen, its filter would only
remember.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from medical_rl.data.parquet import read_samples
from medical_rl.errors import UserError
from medical_rl.sample import Sample, group_key
from medical_rl.seeding import hash_order


def reward_model_groups(groups: Iterable[str], rows: int, seed: int) -> set[str]:
    """Groups (patients, lesions, studies) of together at least `rows` rows, drawn with the seed.

    groups  the group of every row

    Raises UserError where that would leave no row.
    """
    sizes = Counter(groups)
    chosen: set[str] = set()
    chosen_rows = 0
    for group in sorted(sizes, key=lambda name: _order(name, seed)):
        if chosen_rows >= rows:
            break
        chosen.add(group)
        chosen_rows += sizes[group]
    if len(chosen) == len(sizes):
        raise UserError(
            f"conf.reward_training.rows={rows} takes all {sizes.total()} training rows for R_phi and leaves "
            "none for the generator. Lower it."
        )
    return chosen


def reward_model_rows(train: Path, rows: int, seed: int) -> Iterator[Sample]:
    """The first `rows` training rows of the groups that R_phi learns from, in the file's order."""
    groups = _groups(train, rows, seed)
    learned = (sample for sample in read_samples(train) if group_key(sample) in groups)
    return islice(learned, rows)


def seed_rows(train: Path, count: int, rows: int, seed: int) -> Iterator[Sample]:
    """D_seed: `count` of the rows R_phi learns from, drawn with the seed, with their own, true answers."""
    groups = _groups(train, rows, seed)
    ids = [sample.id for sample in read_samples(train, with_images=False) if group_key(sample) in groups]
    drawn = set(sorted(ids, key=lambda name: _order(name, seed))[:count])
    return (sample for sample in read_samples(train) if sample.id in drawn)


def generator_rows(train: Path, rows: int, seed: int) -> Iterator[Sample]:
    """The training rows that R_phi does not learn from: the generator may be asked about their images."""
    groups = _groups(train, rows, seed)
    return (sample for sample in read_samples(train) if group_key(sample) not in groups)


def _groups(train: Path, rows: int, seed: int) -> set[str]:
    return reward_model_groups(map(group_key, read_samples(train, with_images=False)), rows, seed)


def _order(name: str, seed: int) -> int:
    """The rank of a name in a seeded order that does not change when rows are added."""
    return hash_order(f"{seed}/{name}")
