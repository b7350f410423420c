"""Scores by plain transformers: a stream of (sample, text) in, R_phi's outputs out, in order.

As a process, `python -m medical_rl.reward_model.score REQUEST.json` scores a file of graded rows
(score_requests.py).
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import torch

from medical_rl.reward_model.graded import Graded
from medical_rl.reward_model.model import load_exported
from medical_rl.reward_model.score_requests import complete_scores
from medical_rl.sample import Sample
from medical_rl.training.encode import Encoder, collate, load_processor, to_device

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
        self.model = load_exported(folder, getattr(torch, dtype)).to(device)
        self.device = device

    @torch.inference_mode()
    def batch(self, rows: list[tuple[Sample, str]], side: str = "right") -> list[list[float]]:
        """The outputs of every row, the total first; the `side` of the padding changes nothing."""
        encoded = [self.encoder.encode(sample, text) for sample, text in rows]
        inputs = collate(encoded, self.encoder.padding, self.encoder.image_token, side)
        return self.model(**to_device(inputs, self.device)).tolist()

    def stream(self, rows: Iterable[tuple[Sample, str]], batch: int) -> Iterator[list[float]]:
        """The outputs of every row, in order; a few batches of rows are in memory at a time."""
        rows = iter(rows)
        for first in rows:
            ahead = [first, *islice(rows, batch * LOOKAHEAD - 1)]
            lengths = [self.encoder.length(sample, text) for sample, text in ahead]
            order = sorted(range(len(ahead)), key=lengths.__getitem__)
            outputs: dict[int, list[float]] = {}
            for start in range(0, len(order), batch):
                indices = order[start : start + batch]
                scores = self.batch([ahead[index] for index in indices])
                outputs.update(zip(indices, scores, strict=True))
            for index in range(len(ahead)):
                yield outputs[index]


def score(
    folder: Path | str,
    rows: Iterable[tuple[Sample, str]],
    batch: int = 32,
    device: str = "cpu",
    limits: Mapping[str, int] | None = None,
    dtype: str = "float32",
) -> Iterator[float | list[float]]:
    """R_phi of every (sample, text), in order: a float, or a list (total first) of several outputs.

    limits  {"min_pixels", "max_pixels"}; None takes those of its training, which the folder holds
    """
    for outputs in Scorer(folder, device, limits, dtype).stream(rows, batch):
        yield outputs[0] if len(outputs) == 1 else outputs


def requested_outputs(request: dict, rows: Iterator[Graded]) -> Iterator[list[float]]:
    """R_phi's outputs of each row of a scoring request, in order."""
    scorer = Scorer(request["model"], request["device"], dtype=request["dtype"])
    return scorer.stream(((row.sample, row.text) for row in rows), int(request["batch"]))


if __name__ == "__main__":
    complete_scores(Path(sys.argv[1]), requested_outputs)
