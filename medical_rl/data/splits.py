"""k-shot, limit and repeat: smaller or longer lists of samples, the same for everyone with one seed.

Which rows are kept follows from a hash of (seed, id) and nothing else, so the choice does not
depend on row order, on other classes or on the Python version, and more shots contain fewer.
A stream is never held in memory as a whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator

from medical_rl.errors import UserError
from medical_rl.sample import Sample


def k_shot(
    samples: Iterable[Sample], k: int, seed: int, key: Callable[[Sample], str] = lambda sample: sample.answer
) -> list[Sample]:
    """`k` samples of every class, in the order they came; a class with fewer gives all of them.

    >>> pool = [Sample(id=str(i), source="demo", question="?", kind="label", answer="ab"[i % 2]) for i in range(20)]
    >>> [s.answer for s in sorted(k_shot(pool, k=2, seed=0), key=lambda s: s.answer)]
    ['a', 'a', 'b', 'b']
    """
    _at_least_one("k", k)
    return _smallest(samples, k, seed, key)


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


def _rank(seed: int | str, sample: Sample) -> int:
    digest = hashlib.sha256(f"{seed}:{sample.source}:{sample.id}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _at_least_one(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{name} must be a whole number of at least 1, not {value!r}; leave it null for all rows.")
