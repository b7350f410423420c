"""k-shot, balanced, top-k, limit and repeat: rows drawn, the same for everyone with one seed.

Which rows are drawn follows from a hash of (seed, id) and nothing else, so the choice does not
depend on row order, on other classes or on the Python version, and more shots contain fewer.
A stream is never held in memory as a whole.
"""

import dataclasses
import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter

from medical_rl.errors import UserError
from medical_rl.sample import Sample
from medical_rl.seeding import hash_order


def where(
    samples: Iterable[Sample], wanted: Mapping[str, Sequence], split: str = "train"
) -> Iterator[Sample]:
    """The samples whose meta has one of the wanted values under each key of `wanted`.

    Raises UserError at the end where nothing was kept, with the values there are.

    >>> sample = Sample(id="1", source="d", question="?", kind="label", answer="a", meta={"modality": "MRI"})
    >>> pool = [sample, dataclasses.replace(sample, id="2", meta={"modality": "CT"})]
    >>> [s.id for s in where(pool, {"modality": ["CT"]})]
    ['2']
    """
    allowed = {key: set(map(str, values)) for key, values in wanted.items()}
    values_seen: dict[str, set] = {key: set() for key in wanted}
    any_kept = False
    for sample in samples:
        keep = True
        for key, values in allowed.items():
            value = str(sample.meta.get(key))
            values_seen[key].add(value)
            keep = keep and value in values
        if keep:
            any_kept = True
            yield sample
    if not any_kept and any(values_seen.values()):
        available = [f"{key}: {', '.join(sorted(values)[:20])}" for key, values in values_seen.items()]
        raise UserError(
            f"conf.data.train_where={dict(wanted)} keeps no row of {split}. There are {'; '.join(available)}."
        )


def k_shot(
    samples: Iterable[Sample],
    k: int,
    seed: int,
    key: Callable[[Sample], str] = attrgetter("answer"),
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

    >>> sample = Sample(id="1", source="demo", question="?", kind="label", answer="a")
    >>> pool = [dataclasses.replace(sample, id=str(i), answer="abbbcccc"[i]) for i in range(8)]
    >>> [s.answer for s in balanced(pool, 5, seed=0)]
    ['a', 'b', 'b', 'c', 'c']
    """
    _check_at_least_one("balanced", n)
    # No class can give more than n, so no more are held.
    held = _smallest(samples, n, seed, attrgetter("answer"))
    # A class's first rows come in the first rounds; within a round the hash decides who is left out.
    rounds: dict[str, int] = {}
    places = []
    ranks = [(_rank(seed, sample), index) for index, sample in enumerate(held)]
    for rank, index in sorted(ranks):
        turn = rounds.get(held[index].answer, 0)
        rounds[held[index].answer] = turn + 1
        places.append((turn, rank, index))
    selected = [index for _, _, index in heapq.nsmallest(n, places)]
    return [held[index] for index in sorted(selected)]


def top_k(samples: Iterable[Sample], k: int, score: str, seed: int) -> list[Sample]:
    """The `k` samples of the highest `meta[score]`, in the order they came; the hash settles equal scores.

    >>> sample = Sample(id="1", source="demo", question="?", kind="label", answer="a")
    >>> pool = [dataclasses.replace(sample, id=str(i), meta={"s": i % 5}) for i in range(9)]
    >>> [s.id for s in top_k(pool, 3, "s", seed=0) if s.meta["s"] > 2]
    ['3', '4', '8']
    """
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
            yield dataclasses.replace(sample, meta=sample.meta | {"copy": copy})


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
