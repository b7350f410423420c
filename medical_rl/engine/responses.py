"""Requests to vLLM processes of ours (generate.py, option_scores.py): their lines are kept while a request stays the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from medical_rl.run_folder import digest, write_json


class Asked(NamedTuple):
    """A request (see the module that answers it), the file it is written to, and the file of its answers, a JSON line a row."""

    request: Mapping[str, Any]
    file: Path
    output: Path


def respond(request: Mapping[str, Any], asked: Path, output: Path, module: str = "generate", **inputs: Path) -> Path:
    """`output`, the file of one JSON line a row; lines of the same model, rows and settings are used as they are, or completed.

    request  see the module; it is written to `asked` with the hashes of its model, rows and inputs
    module   which process of medical_rl.engine answers
    inputs   further files of the request, by key; as the model and the rows they count by their content
    Raises CalledProcessError if the process fails; what it had answered is kept.
    """
    _write(Asked(request, asked, output), inputs)
    _start(module, [asked])
    return output


def respond_all(asked: Sequence[Asked]) -> None:
    """None; every request's responses are in its output, as `respond` puts them there, by one process that loads vLLM once.

    On two cores vLLM takes half a minute to import, longer than a small model takes to answer.
    """
    for one in asked:
        _write(one, {})
    _start("generate", [one.file for one in asked])


def _write(asked: Asked, inputs: Mapping[str, Path]) -> None:
    """None; writes the request; responses to another one are removed."""
    asked.file.parent.mkdir(parents=True, exist_ok=True)
    request = {**asked.request, **{key: str(path) for key, path in inputs.items()}, "output": str(asked.output)}
    hashes = {key: digest(Path(request[key])) for key in ("model", "rows", *inputs)}
    identity = {**request, **hashes}
    before = json.loads(asked.file.read_text()) if asked.file.exists() else {}
    if before.get("identity") != identity:
        asked.output.unlink(missing_ok=True)
    write_json(asked.file, {**request, "identity": identity})


def _start(module: str, files: Sequence[Path]) -> None:
    subprocess.run([sys.executable, "-m", f"medical_rl.engine.{module}", *map(str, files)], check=True)
