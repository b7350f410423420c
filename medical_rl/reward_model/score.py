"""Scores by plain transformers: a stream of (sample, text) in, R_phi's outputs out, in order.

As a process, `python -m medical_rl.reward_model.score REQUEST.json` scores a file of graded rows (scoring.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import torch

from medical_rl.reward_model.model import Qwen2_5_VLForSequenceClassification, load_exported
from medical_rl.sample import Sample
from medical_rl.training.encode import Encoder, collate, load_processor, moved

LOOKAHEAD = 16  # batches read ahead, so that rows of like length share one


class Scorer:
    """An exported R_phi in this process."""

    def __init__(
        self,
        folder: Path | str,
        device: str = "cpu",
        limits: Mapping[str, int] | None = None,
        dtype: str = "float32",
    ):
        self.encoder = Encoder(load_processor(folder, limits))
        self.model: Qwen2_5_VLForSequenceClassification = load_exported(folder, getattr(torch, dtype)).to(
            device
        )
        self.device = device

    @torch.inference_mode()
    def batch(self, rows: list[tuple[Sample, str]], side: str = "right") -> list[list[float]]:
        """The outputs of every row, the total first; `side` is where shorter rows are padded, which changes nothing."""
        encoded = [self.encoder.encode(sample, text) for sample, text in rows]
        inputs = collate(encoded, self.encoder.padding, self.encoder.image_token, side)
        return self.model(**moved(inputs, self.device)).tolist()

    def stream(self, rows: Iterable[tuple[Sample, str]], batch: int) -> Iterator[list[float]]:
        """The outputs of every row, in order; a few batches of rows are in memory at a time."""
        rows = iter(rows)
        while some := list(islice(rows, batch * LOOKAHEAD)):
            order = sorted(range(len(some)), key=lambda i: self.encoder.length(*some[i]))
            found: dict[int, list[float]] = {}
            for start in range(0, len(order), batch):
                chosen = order[start : start + batch]
                found |= zip(chosen, self.batch([some[i] for i in chosen]), strict=True)
            yield from (found[i] for i in range(len(some)))


def score(
    folder: Path | str,
    rows: Iterable[tuple[Sample, str]],
    batch: int = 32,
    device: str = "cpu",
    limits: Mapping[str, int] | None = None,
    dtype: str = "float32",
) -> Iterator[float | list[float]]:
    """R_phi of every (sample, text), in order: a float, or a list (total first) where the model has several outputs.

    limits  {"min_pixels", "max_pixels"}; None takes those of its training, which the folder holds
    """
    for outputs in Scorer(folder, device, limits, dtype).stream(rows, batch):
        yield outputs[0] if len(outputs) == 1 else outputs


def main(request_file: str) -> None:
    """None; completes the output of a scoring request."""
    from medical_rl.reward_model.scoring import complete

    def outputs(request: dict, rows: Iterator) -> Iterator[list[float]]:
        scorer = Scorer(request["model"], request["device"], dtype=request["dtype"])
        return scorer.stream(((row.sample, row.text) for row in rows), int(request["batch"]))

    complete(Path(request_file), outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
