"""R_phi's scores: of a stream of (sample, text) by plain transformers, and of a whole file by a process.

A scoring request names model (exported folder), rows (a parquet file of graded rows), output (a JSON line a row,
continued where it ended), batch, device, dtype, and for vLLM gpus, gpu_memory_utilization and seed. Two
processes serve it: `python -m medical_rl.reward_model.score REQUEST.json` and medical_rl.engine.vllm.classify.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from medical_rl.errors import unknown
from medical_rl.reward_model.graded import Graded, read_graded
from medical_rl.run.files import write_json
from medical_rl.sample import Sample

SCORERS = {"hf": "medical_rl.reward_model.score", "vllm": "medical_rl.engine.vllm.classify"}
LOOKAHEAD = 16  # batches read ahead, so that rows of like length share one
FLUSH = 64


class Scorer:
    """An exported R_phi in this process.

    limits  {"min_pixels", "max_pixels"}; None takes those of its training, which the folder holds
    """

    def __init__(
        self,
        folder: Path | str,
        device: str = "cpu",
        limits: Mapping[str, int] | None = None,
        dtype: str = "float32",
    ):
        import torch

        from medical_rl.reward_model.model import load_exported
        from medical_rl.training.encode import Encoder, load_processor

        self.encoder = Encoder(load_processor(folder, limits))
        self.model = load_exported(folder, getattr(torch, dtype)).to(device)
        self.device = device

    def batch(self, rows: list[tuple[Sample, str]], side: str = "right") -> list[list[float]]:
        """The outputs of every row, the total first; the `side` of the padding changes nothing."""
        import torch

        from medical_rl.training.encode import collate, to_device

        encoded = [self.encoder.encode(sample, text) for sample, text in rows]
        inputs = collate(encoded, self.encoder.padding, self.encoder.image_token, side)
        with torch.inference_mode():
            return self.model(**to_device(inputs, self.device)).tolist()

    def stream(self, rows: Iterable[tuple[Sample, str]], batch: int) -> Iterator[list[float]]:
        """The outputs of every row, in order; a few batches of rows are in memory at a time."""
        rows = iter(rows)
        for first in rows:
            ahead = [first] + list(islice(rows, batch * LOOKAHEAD - 1))
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
    folder: Path | str, rows: Iterable[tuple[Sample, str]], batch: int = 32, **settings
) -> Iterator[float | list[float]]:
    """R_phi of every (sample, text), in order: a float, or a list (total first) of several outputs.

    settings  those of `Scorer`
    """
    for outputs in Scorer(folder, **settings).stream(rows, batch):
        yield outputs[0] if len(outputs) == 1 else outputs


def requested_outputs(request: dict, rows: Iterator[Graded]) -> Iterator[list[float]]:
    """R_phi's outputs of each row of a scoring request, in order."""
    scorer = Scorer(request["model"], request["device"], dtype=request["dtype"])
    return scorer.stream(((row.sample, row.text) for row in rows), int(request["batch"]))


def count_whole_lines(path: Path) -> int:
    """The number of whole lines that `path` holds; a line cut short by a kill is dropped from the file."""
    if not path.exists():
        return 0
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
    return data[:whole].count(b"\n")


def complete_scores(
    request_file: Path, outputs: Callable[[dict, Iterator[Graded]], Iterator[list[float]]]
) -> None:
    """Append {"row", "id", "score", "outputs"} for every row of the request that has no line yet.

    outputs  (request, rows) -> R_phi's outputs of each row, in order; not called where no row is left
    """
    request = json.loads(request_file.read_text())
    path = Path(request["output"])
    first = count_whole_lines(path)

    def rows_to_score() -> Iterator[Graded]:
        return islice(read_graded(request["rows"]), first, None)

    if next(rows_to_score(), None) is None:
        return
    pairs = zip(rows_to_score(), outputs(request, rows_to_score()), strict=True)
    with path.open("a", encoding="utf-8") as file:
        for number, (row, scores) in enumerate(pairs, start=first):
            line = {"row": number, "id": row.sample.id, "score": scores[0], "outputs": scores}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            if (number + 1) % FLUSH == 0:
                file.flush()


def score_file(scorer: str, request: Mapping, request_file: Path) -> list[list[float]]:
    """Outputs of all rows of the request, by the process of `scorer` (hf, vllm); its error ends this one."""
    if scorer not in SCORERS:
        raise unknown("scorer", scorer, SCORERS)
    write_json(request_file, dict(request))
    subprocess.run([sys.executable, "-m", SCORERS[scorer], str(request_file)], check=True)
    lines = Path(request["output"]).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["outputs"] for line in lines]


if __name__ == "__main__":
    complete_scores(Path(sys.argv[1]), requested_outputs)
