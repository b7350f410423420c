"""Requests to vLLM processes: a JSON file in, a JSON line a row out, kept while it is the same.

`python -m medical_rl.engine.vllm.<module> REQUEST.json ...` answers them (generate, option_scores, classify).
Lines are written as they come, so an interrupted request goes on where it stopped.
"""

import dataclasses
import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from medical_rl.data.parquet import read_samples
from medical_rl.run.files import digest, write_json, write_text
from medical_rl.sample import Sample


class VllmRequest(NamedTuple):
    """A request (see the module that answers it), the file it is written to, and the file of its lines.

    inputs  further files of the request, by key; like the model and the rows they count by their content
    """

    request: Mapping[str, Any]
    file: Path
    output: Path
    inputs: Mapping[str, Path] = {}


@dataclasses.dataclass(frozen=True)
class RoundContext:
    """What a generator or labeller is told about the round it works for.

    round   1, 2, ...
    seed    of the run
    folder  the round's own files
    shared  what the rounds share: the ledger and the cached answers of an endpoint
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
        """A request to `generate` for conf.generator's or conf.labeller's local model: all `rows`, sampled."""
        request = {
            "model": str(settings["model"]), "rows": str(rows), "limit": None, "prompt": dict(prompt),
            "limits": dict(self.limits), "seed": int(self.seed),
        }  # fmt: skip
        for name in ("max_new_tokens", "batch", "gpus"):
            request[name] = int(settings[name])
        for name in ("temperature", "top_p"):
            request[name] = float(settings[name])
        for name in ("device", "dtype", "gpu_memory_utilization"):
            request[name] = self.engine[name]
        return request | more


def run_request(request: Mapping[str, Any], file: Path, output: Path) -> Path:
    """Have one request answered by `generate` (see `run_requests`); `output` is returned."""
    run_requests([VllmRequest(request, file, output)])
    return output


def run_requests(requests: Sequence[VllmRequest], module: str = "generate") -> None:
    """Have every request answered in its output, by one process of `module` for all of them.

    Lines of the same model, rows and settings are used as they are, or completed.
    Raises CalledProcessError if the process fails; what it had answered is kept.
    """
    command = [sys.executable, "-m", f"medical_rl.engine.vllm.{module}"]
    for request in requests:
        _write(request)
        command.append(str(request.file))
    subprocess.run(command, check=True)


def _write(request: VllmRequest) -> None:
    """Write the request with the hashes of its model, rows and inputs; remove the lines of another one."""
    content = dict(request.request)
    for key, path in request.inputs.items():
        content[key] = str(path)
    content["output"] = str(request.output)
    identity = dict(content)
    for key in ("model", "rows", *request.inputs):
        identity[key] = digest(Path(content[key]))
    before = json.loads(request.file.read_text()) if request.file.exists() else {}
    if before.get("identity") != identity:
        request.output.unlink(missing_ok=True)
    write_json(request.file, {**content, "identity": identity})


def answer_each(answer: Callable[[Path], None], request_files: Sequence[Path | str]) -> int:
    """Answer the requests in turn, each in a fork of this process, which imports vLLM once.

    On two cores the import takes half a minute, longer than a small model takes to answer; and a model's
    memory goes with its process. Returns 0, or the exit code of the first that did not end well; the rest is
    not tried then.
    """
    import torch
    import vllm  # noqa: F401  what takes long

    # CUDA does not survive a fork. Importing vLLM does not start it; where something else has, each process
    # imports anew.
    processes = multiprocessing.get_context("spawn" if torch.cuda.is_initialized() else "fork")
    for file in request_files:
        process = processes.Process(target=answer, args=(Path(file),))
        process.start()
        process.join()
        if process.exitcode:
            return abs(process.exitcode)
    return 0


def requested_samples(request: Mapping[str, Any], with_images: bool = True) -> Iterator[Sample]:
    """The request's rows, up to its limit."""
    return islice(read_samples(Path(request["rows"]), with_images=with_images), request.get("limit"))


def answered_ids(path: Path) -> set[str]:
    """Ids of the rows that `path` holds a line for; a line cut short by a kill is dropped from the file."""
    if not path.exists():
        return set()
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines.pop():
        write_text(path, "".join(f"{line}\n" for line in lines))
    ids = set()
    for line in filter(None, lines):
        ids.add(json.loads(line)["id"])
    return ids


def append_lines(
    output: Path, samples: Iterator[Sample], size: int, answer: Callable[[list[Sample]], Iterable[dict]]
) -> Iterator[int]:
    """Append the lines of `answer`, `size` samples at a time; yields the number of rows after each batch."""
    with output.open("a", encoding="utf-8") as file:
        while True:
            batch = list(islice(samples, size))
            if not batch:
                return
            for line in answer(batch):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            yield len(batch)
