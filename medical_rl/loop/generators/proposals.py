"""What a generator is given and gives back: a round's work, and its proposals."""

from __future__ import annotations

import collections
import dataclasses

from medical_rl.loop.generators.triplets import Triplet
from medical_rl.sample import Sample


@dataclasses.dataclass
class Proposals:
    """(source row, triplet) in the rows' order, unchecked; `bad` counts replies that held none, by reason; `notes` for the log."""

    found: list[tuple[Sample, Triplet]] = dataclasses.field(default_factory=list)
    bad: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    notes: list[str] = dataclasses.field(default_factory=list)

    def add(self, source: Sample, triplets: list[Triplet], reasons: list[str] = ()) -> None:
        """None; takes in what one reply held."""
        self.found += [(source, triplet) for triplet in triplets]
        self.bad.update(reasons)
