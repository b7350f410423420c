"""Which rows each step sees: planned before training, so that a resumed run has the very next step."""

from collections.abc import Iterator, Sequence
from itertools import chain, combinations

import numpy as np

from medical_rl.errors import UserError


def steps_of(units: int, batch_size: int, epochs: float | None, steps: int | None) -> int:
    """Number of steps: `steps` where given, else those of `epochs` passes over `units` rows or pairs.

    >>> steps_of(100, 32, 2, None), steps_of(100, 32, None, 5)
    (6, 5)
    """
    if (epochs is None) == (steps is None):
        raise UserError(f"Give either epochs or steps; they are {epochs} and {steps}.")
    if units < batch_size:
        raise UserError(f"There are {units} rows or pairs to train on, fewer than one batch of {batch_size}.")
    return int(steps) if steps is not None else max(1, int(epochs * units // batch_size))


def batches(groups: Sequence[Sequence[int]], batch_size: int, steps: int, seed: int) -> Iterator[list[int]]:
    """`steps` lists of `batch_size` units: each pass in a new seeded order, its rest left out.

    The units of a group (responses about one image) stand beside each other: a batch then has few images with
    many responses each, whose vision is computed once and whose differences are the responses' own.
    """
    waiting: list[int] = []
    passes = 0
    for _ in range(steps):
        if len(waiting) < batch_size:
            order = np.random.default_rng([seed, passes]).permutation(len(groups))
            waiting = list(chain.from_iterable(groups[index] for index in order))
            passes += 1
        batch, waiting = waiting[:batch_size], waiting[batch_size:]
        yield batch


def process_share(batch: Sequence, rank: int, world: int) -> Sequence:
    """The part of a batch that process `rank` of `world` takes.

    The parts are equal, so that averaged gradients are the batch's. Raises UserError where they cannot be.
    """
    if len(batch) % world:
        raise UserError(f"A batch of {len(batch)} cannot be shared equally by {world} processes.")
    part = len(batch) // world
    return batch[rank * part : (rank + 1) * part]


def indices_by_name(names: Sequence[str]) -> list[list[int]]:
    """Indices that have the same name, together.

    >>> indices_by_name(["a", "b", "a"])
    [[0, 2], [1]]
    """
    indices: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        indices.setdefault(name, []).append(index)
    return list(indices.values())


def preference_pairs(samples: Sequence[str], grades: Sequence[float]) -> list[tuple[int, int]]:
    """(better row, worse row) for every two rows of one sample whose grades differ.

    >>> preference_pairs(["a", "a", "b", "a"], [0.0, 6.0, 10.0, 6.0])
    [(1, 0), (3, 0)]
    """
    pairs = []
    for group in indices_by_name(samples):
        for i, j in combinations(group, 2):
            if grades[i] > grades[j]:
                pairs.append((i, j))
            elif grades[i] < grades[j]:
                pairs.append((j, i))
    return pairs


def learning_rate_share(step: int, steps: int, warmup_ratio: float) -> float:
    """Share of the peak learning rate at `step`: a linear rise at first, then a cosine to zero.

    >>> [round(learning_rate_share(step, 10, 0.2), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    rise = max(1, round(steps * warmup_ratio))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + float(np.cos(np.pi * (step - rise) / max(1, steps - rise))))
