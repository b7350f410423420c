"""What a generator is given and gives back: a round's work, and its proposals."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medical_rl.loop.triplets import Triplet
from medical_rl.sample import Sample


@dataclasses.dataclass(frozen=True)
class Work:
    """One round's work.

    round   1, 2, ...
    seed    of the run
    folder  the round's own files
    shared  what the rounds share: the ledger and the kept answers of an endpoint
    limits  {"min_pixels", "max_pixels"} of an image, for a local model
    engine  {"device", "dtype", "gpu_memory_utilization"}, for a local model
    """

    round: int
    seed: int
    folder: Path
    shared: Path
    limits: Mapping[str, int]
    engine: Mapping[str, Any]

    def request(
        self, settings: Mapping[str, Any], rows: Path, prompt: Mapping[str, Any], **more: Any
    ) -> dict[str, Any]:
        """What `engine.generate` is asked, for a local model of conf.generator or conf.labeller: prepared `rows`, all of them, sampled."""
        numbers = {"max_new_tokens": int, "batch": int, "gpus": int, "temperature": float, "top_p": float}
        return {
            "model": str(settings["model"]), "rows": str(rows), "limit": None, "prompt": dict(prompt), "limits": dict(self.limits),
            "seed": int(self.seed), **{name: kind(settings[name]) for name, kind in numbers.items()},
            **{name: self.engine[name] for name in ("device", "dtype", "gpu_memory_utilization")}, **more,
        }  # fmt: skip


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
