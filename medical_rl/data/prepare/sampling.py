"""Rows drawn, the same for everyone with one seed: k-shot, balanced, top-k, limit, repeat, seeded splits.

Which rows are drawn follows from a hash of (seed, id) and nothing else, so the choice does not depend on row
order, on other classes or on the Python version, and more shots contain fewer. A stream is never held in
memory as a whole. Splits keep every group (patient, lesion or study) whole and every class in proportion.
"""

import collections
import dataclasses
import heapq
import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from medical_rl.data.options import answer_key
from medical_rl.data.sources import files
from medical_rl.errors import UserError
from medical_rl.sample import Sample
from medical_rl.seeding import hash_order

# The names of a modality, letters alone: for MRI OmniMedVQA has "MR (Magnetic Resonance Imaging)".
MODALITIES = {
    "ct": ("ct", "computedtomography", "ctcomputedtomography", "ctscan"),
    "mri": ("mri", "mr", "magneticresonance", "magneticresonanceimaging", "mrmagneticresonanceimaging"),
    "oct": ("oct", "opticalcoherencetomography", "octopticalcoherencetomography"),
    "xray": ("xray", "radiograph", "radiography", "xrayradiography"),
    "ultrasound": ("ultrasound", "us", "ultrasonography", "sonography"),
    "fundus": ("fundus", "fundusphotography", "fundusphotograph"),
    "dermoscopy": ("dermoscopy", "dermatoscopy"),
    "microscopy": ("microscopy", "microscopyimages", "microscope"),
}


def where(
    samples: Iterable[Sample], wanted: Mapping[str, Sequence], split: str = "train"
) -> Iterator[Sample]:
    """The samples whose meta has one of the wanted values under each key of `wanted`; see `modality_key`.

    Raises UserError at the end where nothing was kept, with the values there are.
    """
    allowed = {}
    for key, values in wanted.items():
        names = map(str, [values] if isinstance(values, str) else values)
        allowed[key] = set(map(modality_key, names) if key == "modality" else names)
    values_seen: dict[str, set] = {key: set() for key in wanted}
    any_kept = False
    for sample in samples:
        keep = True
        for key, values in allowed.items():
            value = str(sample.meta.get(key))
            values_seen[key].add(value)
            keep = keep and (modality_key(value) if key == "modality" else value) in values
        if keep:
            any_kept = True
            yield sample
    if not any_kept and any(values_seen.values()):
        available = [f"{key}: {', '.join(sorted(values)[:20])}" for key, values in values_seen.items()]
        raise UserError(
            f"conf.data.train_where={dict(wanted)} keeps no row of {split}. There are {'; '.join(available)}."
        )


def modality_key(name: str) -> str:
    """What the names of one imaging modality share, whoever gives them; any other name's own letters.

    >>> modality_key("MRI") == modality_key("MR (Magnetic Resonance Imaging)") == "mri"
    True
    >>> modality_key("X-ray"), modality_key("PET"), modality_key("OCT") == modality_key("CT")
    ('xray', 'pet', False)
    """
    letters = "".join(filter(str.isalnum, name.casefold()))
    return next((key for key, names in MODALITIES.items() if letters in names), letters)


def k_shot(
    samples: Iterable[Sample],
    k: int,
    seed: int,
    key: Callable[[Sample], str] = answer_key,
    whole_from: int | None = None,
) -> list[Sample]:
    """`k` samples of every class, in the order they came; a class with fewer gives all of them.

    From `k` = `whole_from` on all samples are taken: the paper's 256 shots of RetinaMNIST are its 1,080
    training rows.

    >>> sample = Sample(id="1", source="demo", question="?", kind="label", answer="a")
    >>> pool = [dataclasses.replace(sample, id=str(i), answer="ab"[i % 2]) for i in range(20)]
    >>> sorted(s.answer for s in k_shot(pool, k=2, seed=0))
    ['a', 'a', 'b', 'b']
    """
    _check_at_least_one("k", k)
    if whole_from is not None:
        _check_at_least_one("whole_from", whole_from)
        if k >= whole_from:
            return list(samples)
    return _smallest(samples, k, seed, key)


def balanced(samples: Iterable[Sample], n: int, seed: int) -> list[Sample]:
    """`n` samples in the order they came, as equally many of each answer as can be; all if fewer.

    A class too small for its share gives all it has, and the others share the rest.
    """
    _check_at_least_one("balanced", n)
    # No class can give more than n, so no more are held.
    held = _smallest(samples, n, seed, answer_key)
    # A class's first rows come in the first rounds; within a round the hash decides who is left out.
    rounds: collections.Counter[str] = collections.Counter()
    places = []
    for rank, index in sorted((_rank(seed, sample), index) for index, sample in enumerate(held)):
        answer = answer_key(held[index])
        places.append((rounds[answer], rank, index))
        rounds[answer] += 1
    return [held[index] for index in sorted(place[-1] for place in heapq.nsmallest(n, places))]


def top_k(samples: Iterable[Sample], k: int, score: str, seed: int) -> list[Sample]:
    """The `k` samples of the highest `meta[score]`, in the order they came; the hash settles equal scores."""
    _check_at_least_one("top_k", k)
    scored = (
        (_score(sample, score), _rank(seed, sample), -index, sample) for index, sample in enumerate(samples)
    )
    selected = heapq.nlargest(k, scored)
    selected.sort(key=lambda entry: -entry[2])
    return [entry[-1] for entry in selected]


def limit(samples: Iterable[Sample], n: int, seed: int) -> list[Sample]:
    """`n` samples drawn without regard to class, in the order they came; all of them if there are fewer."""
    _check_at_least_one("limit", n)
    return _smallest(samples, n, seed, lambda sample: "")


def repeat_to(samples: list[Sample], n: int, seed: int) -> list[Sample]:
    """At least `n` samples: every row once in order, then shuffled copies up to exactly `n`.

    A copy keeps its id and carries `meta["copy"]` = 1, 2, ...; a list of `n` or more is returned unchanged.
    """
    if not samples:
        raise UserError(f"There are no rows to repeat to a batch of {n}.")
    if len(samples) >= n:
        return samples
    rows, copy = list(samples), 0
    while len(rows) < n:
        copy += 1
        for sample in sorted(samples, key=lambda sample: _rank(f"{seed}/{copy}", sample)):
            rows.append(dataclasses.replace(sample, meta=sample.meta | {"copy": copy}))
    return rows[:n]


def _smallest(samples: Iterable[Sample], k: int, seed: int, key: Callable[[Sample], str]) -> list[Sample]:
    """The `k` samples of smallest rank in every class that `key` tells, in stream order."""
    heaps: dict[str, list] = {}
    for index, sample in enumerate(samples):
        heap = heaps.setdefault(key(sample), [])
        # Negated, so that heapq's smallest is the largest rank kept; the index settles equal ids.
        entry = (-_rank(seed, sample), -index, sample)
        if len(heap) < k:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)
    entries = list(itertools.chain.from_iterable(heaps.values()))
    entries.sort(key=lambda entry: -entry[1])
    return [sample for _, _, sample in entries]


def _score(sample: Sample, score: str) -> float:
    value = sample.meta.get(score)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise UserError(
            f"Row {sample.id} has no number for the score {score!r} but {value!r}. Its meta has: "
            f"{', '.join(sample.meta) or 'nothing'} (the reader custom keeps a column there with "
            "params.keep)."
        )
    return number


def _rank(seed: int | str, sample: Sample) -> int:
    return hash_order(f"{seed}:{sample.source}:{sample.id}")


def _check_at_least_one(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(
            f"{name} must be a whole number of at least 1, not {value!r}; leave it null for all rows."
        )


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
    usable = all(isinstance(share, int | float) and 0 <= share < 1 for share in shares.values())
    if not usable or sum(shares.values()) >= 1:
        listed = ", ".join(f"{split}={share!r}" for split, share in shares.items())
        raise UserError(
            f"The shares of splits must be numbers from 0 that leave something for train, not {listed}."
        )
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
        if left == wanted > 0 and free:  # every group is larger than this share, and the split would be empty
            splits[min(free, key=sizes.get)] = split
    return splits


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
