"""Scoring requests: a parquet file of graded rows in, a JSON line a row out, continued where it ended.

The request names model (exported folder), rows, output, batch, device, dtype, and for vLLM gpus,
gpu_memory_utilization and seed. Two processes serve it: medical_rl.reward_model.score (`hf`) and
medical_rl.engine.vllm.classify (`vllm`).
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from medical_rl.errors import unknown
from medical_rl.reward_model.graded import Graded, read_graded
from medical_rl.run.files import write_json

SCORERS = {"hf": "medical_rl.reward_model.score", "vllm": "medical_rl.engine.vllm.classify"}
FLUSH = 64


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
