"""."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from medical_rl.sample import Sample


@dataclasses.dataclass(frozen=True)
class Hit:
    """A retrieved report and its score; a higher one is nearer, and scores of two retrievers do not compare."""

    id: str
    score: float


class Retriever(Protocol):
    """Ranks the reports of one corpus."""

    def rank(self, samples: Sequence[Sample], k: int) -> list[list[Hit]]:
        """The k nearest reports of every row, best first; all there are where k is more."""
