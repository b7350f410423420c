"""What a failed term means within a group of samples, so that an outage neither rewards nor punishes any of them.

`results` are those of `Mix.score`, `groups` the group of each: the samples of one prompt, whose rewards are compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence


def at_group_means(
    results: Sequence[Mapping[str, float]], groups: Sequence[str], weights: Mapping[str, float]
) -> list[dict[str, float]]:
    """`results` with each failed term at its mean over the group's other samples; their totals are the caller's.

    A term that failed in the whole group stays failed.
    """
    means: dict[tuple[str, str], list[float]] = defaultdict(list)
    for result, group in zip(results, groups, strict=True):
        for name in weights:
            if not result[f"{name}/failed"]:
                means[group, name].append(result[name])
    mended = []
    for result, group in zip(results, groups, strict=True):
        new = dict(result)
        for name, weight in weights.items():
            known = means[group, name]
            if result[f"{name}/failed"] and known:
                value = sum(known) / len(known)
                new |= {name: value, f"{name}/weighted": weight * value, f"{name}/failed": 0.0}
        mended.append(new)
    return mended


def out_of_groups(results: Sequence[Mapping[str, float]], groups: Sequence[str], terms: Iterable[str]) -> list[bool]:
    """Which samples take no part in their groups.

    Those with a failed term that others of the group have (a term that failed in the whole group is left out
    of it), and then a sample left alone: with nobody to be compared with, its own reward would be its advantage.
    """
    terms = tuple(terms)
    known = {(g, n) for r, g in zip(results, groups, strict=True) for n in terms if not r[f"{n}/failed"]}
    out = [
        any(result[f"{name}/failed"] and (group, name) in known for name in terms)
        for result, group in zip(results, groups, strict=True)
    ]
    left = Counter(group for group, lost in zip(groups, out, strict=True) if not lost)
    full = Counter(groups)
    return [lost or (left[group] == 1 < full[group]) for group, lost in zip(groups, out, strict=True)]
