"""Phantom studies: a picture with three findings that are there or not, and a short written report of it.

Studies come in series, named by a code ("K117"). A series has a pattern of findings of its own, and each of its
studies departs from it in each finding with probability `flip`. So a report of another study of the series tells the truth
about a study more often than not, as reports of like patients do, and one of another series tells nothing.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from medical_rl.tiny.drawing import SIDE, background, finish, soft_disc, stream

# Each large and in a part of the picture of its own.
FINDINGS = ("bright disc", "dark band", "striped patch")
# The letter of a split's series, so that one split's do not depend on how many another has.
LETTERS = {"train": "K", "val": "V", "test": "X"}
SEEN = (
    "A {} is seen.", "There is a clear {}.", "We find one {}.", "The picture shows a {}.", "A {} stands out.",
    "Note the obvious {}.", "A {} can be made out well.", "Again present: {}.",
)  # fmt: skip
ABSENT = (
    "No {} is seen.", "There is no {}.", "We find no {}.", "The picture shows no {}.", "Without any {}.",
    "No sign of a {}.", "A {} is not present.", "No {} can be made out.",
)  # fmt: skip
CLOSING = (
    "Quality is good.", "Slight noise.", "Exposure varies a little.", "First of its kind.", "Nothing else of note.",
    "Background uneven.", "Grain as usual here.", "Otherwise plain.",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Study:
    """One study: its series, and for every finding whether it is there; `report` and `image` follow from `name`."""

    name: tuple
    series: str
    facts: dict[str, bool]

    @property
    def report(self) -> str:
        """About 25 words: the series, a sentence for each finding in any order, and a closing remark."""
        rng = stream(*self.name, "report")
        said = [
            str(rng.choice(SEEN if there else ABSENT)).format(finding)
            for finding, there in self.facts.items()
        ]
        told = [said[i] for i in rng.permutation(len(said))]
        return " ".join([f"Series {self.series}.", *told, str(rng.choice(CLOSING))])

    def image(self) -> np.ndarray:
        """A SIDE x SIDE picture in grey levels, place, size and contrast of each finding varied."""
        rng = stream(*self.name, "image")
        picture = background(rng)
        drawn = {"bright disc": _disc, "dark band": _band, "striped patch": _stripes}
        for finding, draw in drawn.items():
            found = draw(rng)  # drawn from the stream even where it is absent: a finding moves no other one
            picture = picture + (found if self.facts[finding] else 0)
        return finish(picture + 40)


def study(seed: int, split: str, number: int, member: str, flip: float) -> Study:
    """The study `member` of series `number` of a split."""
    pattern = stream(seed, "phantom_reports", split, "series", number).random(len(FINDINGS)) < 0.5
    name = (seed, "phantom_reports", split, number, member)
    flipped = stream(*name).random(len(FINDINGS)) < flip
    facts = {finding: bool(p != f) for finding, p, f in zip(FINDINGS, pattern, flipped, strict=True)}
    return Study(name, series_name(split, number), facts)


def series_name(split: str, number: int) -> str:
    """A code, one word to a reader of words: no part of it is shared with another series.

    >>> series_name("train", 0), series_name("test", 41)
    ('K100', 'X141')
    """
    return f"{LETTERS[split]}{100 + number}"


def _disc(rng) -> np.ndarray:
    """In the upper left."""
    centre = rng.uniform(12, 16, 2)
    return rng.uniform(90, 120) * soft_disc(centre, rng.uniform(9, 12))


def _stripes(rng) -> np.ndarray:
    """Upright, in the upper right."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    inside = (x > SIDE / 2 + rng.uniform(1, 4)) & (y < SIDE / 2 - rng.uniform(1, 4))
    return rng.uniform(60, 90) * inside * ((x + int(rng.integers(4))) // 2 % 2)


def _band(rng) -> np.ndarray:
    """Across the lower half."""
    y, _ = np.mgrid[0:SIDE, 0:SIDE]
    top = rng.uniform(SIDE / 2 + 3, SIDE - 22)
    return -rng.uniform(65, 85) * ((y > top) & (y < top + rng.uniform(16, 20)))
