"""What the lexicon's terms have to do with each other, and what locates a finding (vocabulary.yaml)."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import yaml

from medical_rl.parsing.lexicon import PICTURES

VOCABULARY = yaml.safe_load(Path(__file__).with_name("vocabulary.yaml").read_text(encoding="utf-8"))
# No finding and no place: what every question about a radiograph names.
PICTURE = frozenset(PICTURES) | {"thorax"}
PLACES = frozenset(itertools.chain.from_iterable(VOCABULARY["places"].values()))


class Kin(NamedTuple):
    """What affirms and what denies a finding beside its own name; vocabulary.yaml says how."""

    names: tuple[str, ...]
    affirmed_by: tuple[str, ...] = ()
    denied_by: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    made_of: tuple[str, ...] = ()
    opposites: tuple[str, ...] = ()
    abnormal: tuple[str, ...] = ()


KIN = tuple(Kin(**{key: tuple(names) for key, names in line.items()}) for line in VOCABULARY["kin"])


def kin(finding: str) -> Kin:
    """The line of KIN that has the finding among its names, or one of its own.

    >>> kin("effusion").names, kin("drusen").names
    (('pleural effusion', 'effusion'), ('drusen',))
    """
    return next((line for line in KIN if finding in line.names), Kin((finding,)))


def is_finding(concept: str) -> bool:
    """Whether a concept is neither a place nor the picture."""
    return concept not in PLACES and concept not in PICTURE


def places_alike(places: tuple[str, ...]) -> frozenset[str]:
    """The places, and those spoken of with them."""
    together = set(places)
    for group in VOCABULARY["alike"]:
        if not set(places).isdisjoint(group):
            together.update(group)
    return frozenset(together)


def findings_of(places: tuple[str, ...]) -> tuple[str, ...]:
    """The findings that would make one of the places abnormal.

    >>> findings_of(("aorta",))[1:]
    ('tortuous aorta', 'aortic ectasia', 'aortic aneurysm', 'atherosclerosis', 'aortic calcification')
    """
    near = places_alike(places)
    findings: dict[str, None] = {}  # each once, in order
    for line in KIN:
        if near.intersection(line.places[:1]):
            findings |= dict.fromkeys(line.names)
    return tuple(findings)


def values(words: Iterable[str], families: str) -> dict[str, frozenset[str]]:
    """{family: its values among the words}, of the `where` or the `how` of a finding.

    >>> values(["right", "upper", "lobe"], "where") == {"side": {"right"}, "zone": {"upper"}}
    True
    """
    found = {}
    words = set(words)
    for family, members in VOCABULARY[families].items():
        present = frozenset(value for value, ways in members.items() if not words.isdisjoint(ways))
        if present:
            found[family] = present
    return found


def conflict(asked: dict[str, frozenset[str]], told: dict[str, frozenset[str]]) -> bool:
    """Whether the two have different values of one family."""
    return any(family in told and not values & told[family] for family, values in asked.items())
