"""Scoring requests: a parquet file of graded rows in, one JSON line a row out, continued where it stopped.

The request names model (exported folder), rows, output, batch, device, dtype, and for vLLM gpus, gpu_memory_utilization
and seed. Two processes serve it: medical_rl.reward_model.score (`hf`) and medical_rl.engine.vllm.classify (`vllm`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import islice, tee
from pathlib import Path

from medical_rl.errors import unknown
from medical_rl.reward_model.graded import Graded, read_graded
from medical_rl.run.files import write_json

SCORERS = {"hf": "medical_rl.reward_model.score", "vllm": "medical_rl.engine.vllm.classify"}
FLUSH = 64


def scored(path: Path) -> int:
    """Number of whole lines that `path` holds; a line cut short by a kill is dropped from the file."""
    if not path.exists():
        return 0
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
    return data[:whole].count(b"\n")


def complete(request_file: Path, outputs: Callable[[dict, Iterator[Graded]], Iterator[list[float]]]) -> None:
    """None; appends {"row", "id", "score", "outputs"} for every row of the request that has no line yet.

    outputs  (request, rows) -> R_phi's outputs of each row, in order
    """
    request = json.loads(request_file.read_text())
    path = Path(request["output"])
    first = scored(path)
    waiting, named = tee(islice(read_graded(request["rows"]), first, None))
    head = next(named, None)
    if head is None:
        return

    def records():
        yield head
        yield from named

    with path.open("a", encoding="utf-8") as file:
        for number, (row, found) in enumerate(
            zip(records(), outputs(request, waiting), strict=True), start=first
        ):
            line = {"row": number, "id": row.sample.id, "score": found[0], "outputs": found}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            if (number + 1) % FLUSH == 0:
                file.flush()


def score_file(scorer: str, request: Mapping, request_file: Path) -> list[list[float]]:
    """Outputs of every row of `request["rows"]`, by the process of `scorer` (hf or vllm); an error there ends this one."""
    if scorer not in SCORERS:
        raise unknown("scorer", scorer, SCORERS)
    write_json(request_file, dict(request))
    subprocess.run([sys.executable, "-m", SCORERS[scorer], str(request_file)], check=True)
    return [
        json.loads(line)["outputs"]
        for line in Path(request["output"]).read_text(encoding="utf-8").splitlines()
    ]
