"""k-shot, balanced, top-k, limit and repeat: smaller or longer lists of samples, the same for everyone with one seed.

Which rows are drawn follows from a hash of (seed, id) and nothing else, so the choice does not
depend on row order, on other classes or on the Python version, and more shots contain fewer.
A stream is never held in memory as a whole.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from medical_rl.errors import UserError
from medical_rl.sample import Sample
from medical_rl.seeding import hash_order


def where(
    samples: Iterable[Sample], wanted: Mapping[str, Sequence], split: str = "train"
) -> Iterator[Sample]:
    """The samples whose meta has one of the wanted values under each key of `wanted`.

    UserError at the end where nothing was kept, with the values there are.

    >>> pool = [Sample(id=m, source="d", question="?", kind="label", answer="a", meta={"modality": m}) for m in ("MRI", "CT")]
    >>> [s.id for s in where(pool, {"modality": ["CT"]})]
    ['CT']
    """
    found = False
    seen: dict[str, set] = {key: set() for key in wanted}
    for sample in samples:
        for key in wanted:
            seen[key].add(str(sample.meta.get(key)))
        if all(str(sample.meta.get(key)) in map(str, values) for key, values in wanted.items()):
            found = True
            yield sample
    if not found and any(seen.values()):
        there = "; ".join(f"{key}: {', '.join(sorted(values)[:20])}" for key, values in seen.items())
        raise UserError(f"conf.data.train_where={dict(wanted)} keeps no row of {split}. There are {there}.")


def k_shot(
    samples: Iterable[Sample],
    k: int,
    seed: int,
    key: Callable[[Sample], str] = lambda sample: sample.answer,
    whole_from: int | None = None,
) -> list[Sample]:
    """`k` samples of every class, in the order they came; a class with fewer gives all of them.

    From `k` = `whole_from` on all samples are taken: the paper's 256 shots of RetinaMNIST are its 1,080 training rows.

    >>> pool = [Sample(id=str(i), source="demo", question="?", kind="label", answer="ab"[i % 2]) for i in range(20)]
    >>> [s.answer for s in sorted(k_shot(pool, k=2, seed=0), key=lambda s: s.answer)]
    ['a', 'a', 'b', 'b']
    """
    _at_least_one("k", k)
    if whole_from is not None:
        _at_least_one("whole_from", whole_from)
        if k >= whole_from:
            return list(samples)
    return _smallest(samples, k, seed, key)


def balanced(samples: Iterable[Sample], n: int, seed: int) -> list[Sample]:
    """`n` samples, as equally many of each answer as there are, in the order they came; all of them if there are fewer.

    A class too small for its share gives all it has, and the others share the rest.

    >>> pool = [Sample(id=str(i), source="demo", question="?", kind="label", answer="abbbcccc"[i]) for i in range(8)]
    >>> [s.answer for s in balanced(pool, 5, seed=0)]
    ['a', 'b', 'b', 'c', 'c']
    """
    _at_least_one("balanced", n)
    # No class can give more than n, so no more are held.
    held = _smallest(samples, n, seed, key=lambda sample: sample.answer)
    classes: dict[str, list[Sample]] = {}
    for sample in sorted(held, key=lambda sample: _rank(seed, sample)):
        classes.setdefault(sample.answer, []).append(sample)
    # A class's first rows come in the first rounds; within a round the hash decides who is left out.
    rounds = [
        (turn, _rank(seed, sample), id(sample))
        for rows in classes.values()
        for turn, sample in enumerate(rows)
    ]
    kept = {entry[2] for entry in heapq.nsmallest(n, rounds)}
    return [sample for sample in held if id(sample) in kept]


def top_k(samples: Iterable[Sample], k: int, score: str, seed: int) -> list[Sample]:
    """The `k` samples with the highest number in `meta[score]`, in the order they came; the hash settles equal scores.

    >>> pool = [Sample(id=str(i), source="demo", question="?", kind="label", answer="a", meta={"s": i % 5}) for i in range(9)]
    >>> [s.id for s in top_k(pool, 3, "s", seed=0) if s.meta["s"] > 2]
    ['3', '4', '8']
    """
    _at_least_one("top_k", k)
    scored = (
        (_score(sample, score), _rank(seed, sample), -index, sample) for index, sample in enumerate(samples)
    )
    return [entry[-1] for entry in sorted(heapq.nlargest(k, scored), key=lambda entry: -entry[2])]


def limit(samples: Iterable[Sample], n: int, seed: int) -> list[Sample]:
    """`n` samples drawn without regard to class, in the order they came; all of them if there are fewer."""
    _at_least_one("limit", n)
    return _smallest(samples, n, seed, key=lambda sample: "")


def repeat_to(samples: list[Sample], n: int, seed: int) -> list[Sample]:
    """At least one batch of `n` samples: every row once in order, then shuffled copies up to exactly `n`.

    A copy keeps its id and carries `meta["copy"]` = 1, 2, ...; a list of `n` or more is returned unchanged.

    >>> one = Sample(id="1", source="demo", question="?", kind="label", answer="a")
    >>> [s.meta for s in repeat_to([one], 3, seed=0)]
    [{}, {'copy': 1}, {'copy': 2}]
    """
    if not samples:
        raise UserError(f"There are no rows to repeat to a batch of {n}.")
    if len(samples) >= n:
        return samples
    return list(itertools.islice(itertools.chain(samples, _copies(samples, seed)), n))


def _copies(samples: list[Sample], seed: int) -> Iterator[Sample]:
    for copy in itertools.count(1):
        for sample in sorted(samples, key=lambda sample: _rank(f"{seed}/{copy}", sample)):
            yield dataclasses.replace(sample, meta={**sample.meta, "copy": copy})


def _smallest(samples: Iterable[Sample], k: int, seed: int, key: Callable[[Sample], str]) -> list[Sample]:
    """The `k` samples of smallest rank in every class, in stream order."""
    kept: dict[str, list] = {}
    for index, sample in enumerate(samples):
        heap = kept.setdefault(key(sample), [])
        # Negated, so that heapq's smallest is the largest rank kept; the index settles equal ids.
        entry = (-_rank(seed, sample), -index, sample)
        if len(heap) < k:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)
    entries = [entry for heap in kept.values() for entry in heap]
    return [sample for _, _, sample in sorted(entries, key=lambda entry: -entry[1])]


def _score(sample: Sample, score: str) -> float:
    value = sample.meta.get(score)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise UserError(
            f"Row {sample.id} has no number for the score {score!r} but {value!r}. Its meta has: "
            f"{', '.join(sample.meta) or 'nothing'} (the reader custom keeps a column there with params.keep)."
        )
    return number


def _rank(seed: int | str, sample: Sample) -> int:
    return hash_order(f"{seed}:{sample.source}:{sample.id}")


def _at_least_one(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(
            f"{name} must be a whole number of at least 1, not {value!r}; leave it null for all rows."
        )
