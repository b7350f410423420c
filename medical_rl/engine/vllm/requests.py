"""Requests to vLLM processes of ours (generate.py, option_scores.py): their lines are kept while a request stays the same."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from medical_rl.run.files import digest, write_json


class Asked(NamedTuple):
    """A request (see the module that answers it), the file it is written to, and the file of its answers, a JSON line a row.

    inputs  further files of the request, by key; as the model and the rows they count by their content
    """

    request: Mapping[str, Any]
    file: Path
    output: Path
    inputs: Mapping[str, Path] = {}


def respond(request: Mapping[str, Any], asked: Path, output: Path) -> Path:
    """`output`, the responses to one request, which is written to `asked`; see `respond_all`."""
    respond_all([Asked(request, asked, output)])
    return output


def respond_all(asked: Sequence[Asked], module: str = "generate") -> None:
    """None; every request's answers are in its output: lines of the same model, rows and settings are used as they are, or completed.

    module  which process of medical_rl.engine answers, one for all of them
    Raises CalledProcessError if the process fails; what it had answered is kept.
    """
    for one in asked:
        _write(one)
    command = [sys.executable, "-m", f"medical_rl.engine.{module}", *(str(one.file) for one in asked)]
    subprocess.run(command, check=True)


def _write(asked: Asked) -> None:
    """None; writes the request with the hashes of its model, rows and inputs; answers to another one are removed."""
    asked.file.parent.mkdir(parents=True, exist_ok=True)
    inputs = {key: str(path) for key, path in asked.inputs.items()}
    request = {**asked.request, **inputs, "output": str(asked.output)}
    hashes = {key: digest(Path(request[key])) for key in ("model", "rows", *inputs)}
    identity = {**request, **hashes}
    before = json.loads(asked.file.read_text()) if asked.file.exists() else {}
    if before.get("identity") != identity:
        asked.output.unlink(missing_ok=True)
    write_json(asked.file, {**request, "identity": identity})


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
