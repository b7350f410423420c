"""Lines 5 to 9 of Algorithm 1: which generated samples are kept, and what they are added to."""

import math
import random
from collections.abc import Hashable, Iterable, Mapping, Sequence

from medical_rl.errors import UserError, unknown

# {filter: the figure it needs}. tau: R_phi above a threshold (line 5); top_k and quantile: the best by R_phi;
# random_k and none: Figure 2's controls.
FILTERS = {"tau": "tau", "top_k": "k", "quantile": "quantile", "random_k": "k", "none": None}


def check_filter(rule: Mapping) -> None:
    """Raise UserError for a filter that is unknown or lacks its figure."""
    if rule["by"] not in FILTERS:
        raise unknown("filter (conf.loop.filter.by)", rule["by"], FILTERS)
    needed = FILTERS[rule["by"]]
    if needed and rule.get(needed) is None:
        raise UserError(f"conf.loop.filter.by={rule['by']} needs conf.loop.filter.{needed}.")
    if needed == "quantile" and not 0 <= rule["quantile"] < 1:
        raise UserError(f"conf.loop.filter.quantile={rule['quantile']} is no share from 0 to below 1.")
    if needed == "k" and rule["k"] < 1:
        raise UserError(f"conf.loop.filter.k={rule['k']}: at least one sample must be kept.")


def kept_positions(scores: Sequence[float], rule: Mapping, seed: int) -> list[int]:
    """Positions of the samples that the filter keeps, ascending.

    >>> kept_positions([9.0, -5.0, 7.0, 7.0], {"by": "tau", "tau": 6.5}, seed=0)
    [0, 2, 3]
    >>> kept_positions([9.0, -5.0, 7.0, 7.0], {"by": "top_k", "k": 2}, seed=0)
    [0, 2]
    """
    check_filter(rule)
    bad = [position for position, score in enumerate(scores) if not math.isfinite(score)]
    if bad:
        raise UserError(
            f"R_phi gave {len(bad)} candidates a score that is no finite number; the first is number "
            f"{bad[0]}."
        )
    count, by = len(scores), rule["by"]
    if by == "tau":
        return [position for position, score in enumerate(scores) if score > rule["tau"]]
    if by == "none":
        return list(range(count))
    if by == "random_k":
        return sorted(random.Random(seed).sample(range(count), min(rule["k"], count)))
    k = rule["k"] if by == "top_k" else math.ceil(count * (1 - rule["quantile"]))
    best = sorted(range(count), key=scores.__getitem__, reverse=True)  # stable: of equal scores the earlier
    return sorted(best[:k])


def new_positions(held: Iterable[Hashable], keys: Sequence[Hashable], allow_overlap: bool) -> list[int]:
    """Positions of the chosen samples that are added to D_gen (lines 6 to 9).

    held  the keys of D_gen's samples, by `triplets.duplicate_key` as `keys`

    >>> new_positions({"a"}, ["a", "b", "b"], allow_overlap=False)
    [1]
    >>> new_positions({"a"}, ["a", "b", "b"], allow_overlap=True)
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
