"""Which rows' images a round asks about: drawn by a hash of (seed, round, row), so every round draws others."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from medical_rl.data.seeded import place
from medical_rl.loop.triplets import image_key
from medical_rl.sample import Sample


def chosen(rows: Iterable[Sample], count: int, seed: int, round: int, by_image: bool = False) -> list[Sample]:
    """`count` rows that have images, in the order they came; all of them if there are fewer. They are held in memory.

    by_image  rows about the same images are one, the first: whoever looks at the image alone would be asked twice

    >>> pool = [Sample(id=str(i), source="demo", question="?", kind="label", answer="a", images=(bytes([i]),)) for i in range(9)]
    >>> [len({s.id for s in chosen(pool, 4, seed, round)}) for seed, round in ((0, 1), (0, 2))]
    [4, 4]
    """
    held: list[tuple[int, int, Sample]] = []  # the largest rank first, as it is the next to go
    ranks: set[int] = set()
    for index, sample in enumerate(rows):
        if not sample.images:
            continue
        rank = _rank(seed, round, image_key(sample.images) if by_image else f"{sample.source}:{sample.id}")
        if rank in ranks or (len(held) == count and rank > -held[0][0]):
            continue
        ranks.add(rank)
        heapq.heappush(held, (-rank, index, sample))
        if len(held) > count:
            ranks.discard(-heapq.heappop(held)[0])
    return [sample for _, _, sample in sorted(held, key=lambda entry: entry[1])]


def _rank(seed: int, round: int, name: str) -> int:
    return place(f"{seed}:{round}:{name}")
