"""Lines 5 to 9 of Algorithm 1: which generated samples are kept, and what they are added to."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from medical_rl.errors import UserError, unknown


def _tau(scores: Sequence[float], rule: Mapping, seed: int) -> list[int]:
    return [i for i, score in enumerate(scores) if score > rule["tau"]]


def _top_k(scores: Sequence[float], rule: Mapping, seed: int) -> list[int]:
    best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    return sorted(best[: rule["k"]])


def _quantile(scores: Sequence[float], rule: Mapping, seed: int) -> list[int]:
    return _top_k(scores, {"k": math.ceil(len(scores) * (1 - rule["quantile"]))}, seed)


def _random_k(scores: Sequence[float], rule: Mapping, seed: int) -> list[int]:
    return sorted(random.Random(seed).sample(range(len(scores)), min(rule["k"], len(scores))))


def _none(scores: Sequence[float], rule: Mapping, seed: int) -> list[int]:
    return list(range(len(scores)))


# tau: R_phi above a threshold (line 5); top_k and quantile: the best by R_phi; random_k and none: Figure 2's controls.
FILTERS: dict[str, tuple[Callable, str | None]] = {
    "tau": (_tau, "tau"),
    "top_k": (_top_k, "k"),
    "quantile": (_quantile, "quantile"),
    "random_k": (_random_k, "k"),
    "none": (_none, None),
}


def check_filter(rule: Mapping) -> None:
    """None; UserError for a filter that is unknown or lacks its figure."""
    if rule["by"] not in FILTERS:
        raise unknown("filter (conf.loop.filter.by)", rule["by"], FILTERS)
    needed = FILTERS[rule["by"]][1]
    if needed and rule.get(needed) is None:
        raise UserError(f"conf.loop.filter.by={rule['by']} needs conf.loop.filter.{needed}.")
    if needed == "quantile" and not 0 <= rule["quantile"] < 1:
        raise UserError(f"conf.loop.filter.quantile={rule['quantile']} is no share from 0 to below 1.")
    if needed == "k" and rule["k"] < 1:
        raise UserError(f"conf.loop.filter.k={rule['k']}: at least one sample must be kept.")


def kept(scores: Sequence[float], rule: Mapping, seed: int) -> list[int]:
    """Positions of the samples that the filter keeps, ascending.

    >>> kept([9.0, -5.0, 7.0, 7.0], {"by": "tau", "tau": 6.5}, seed=0)
    [0, 2, 3]
    >>> kept([9.0, -5.0, 7.0, 7.0], {"by": "top_k", "k": 2}, seed=0)
    [0, 2]
    """
    check_filter(rule)
    bad = [i for i, score in enumerate(scores) if not math.isfinite(score)]
    if bad:
        raise UserError(
            f"R_phi gave {len(bad)} candidates a score that is no finite number; the first is number {bad[0]}."
        )
    return FILTERS[rule["by"]][0](scores, rule, seed)


def new_ones(held: Iterable[Hashable], keys: Sequence[Hashable], allow_overlap: bool) -> list[int]:
    """Positions of the chosen samples that are added to D_gen, which holds `held` (lines 6 to 9); both by `triplets.key`.

    >>> new_ones({"a"}, ["a", "b", "b"], allow_overlap=False)
    [1]
    >>> new_ones({"a"}, ["a", "b", "b"], allow_overlap=True)
    [0, 1, 2]
    """
    if allow_overlap:
        return list(range(len(keys)))
    seen, added = set(held), []
    for position, key in enumerate(keys):
        if key not in seen:
            seen.add(key)
            added.append(position)
    return added
