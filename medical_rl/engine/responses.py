"""A request to a vLLM process of ours (generate.py, option_scores.py): its lines are kept while the request stays the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medical_rl.run_folder import digest, write_json


def respond(request: Mapping[str, Any], asked: Path, output: Path, module: str = "generate", **inputs: Path) -> Path:
    """`output`, the file of one JSON line a row; lines of the same model, rows and settings are used as they are, or completed.

    request  see the module; it is written to `asked` with the hashes of its model, rows and inputs
    module   which process of medical_rl.engine answers
    inputs   further files of the request, by key; as the model and the rows they count by their content
    Raises CalledProcessError if the process fails; what it had answered is kept.
    """
    asked.parent.mkdir(parents=True, exist_ok=True)
    request = {**request, **{key: str(path) for key, path in inputs.items()}, "output": str(output)}
    hashes = {key: digest(Path(request[key])) for key in ("model", "rows", *inputs)}
    identity = {**request, **hashes}
    before = json.loads(asked.read_text()) if asked.exists() else {}
    if before.get("identity") != identity:
        output.unlink(missing_ok=True)
    write_json(asked, {**request, "identity": identity})
    subprocess.run([sys.executable, "-m", f"medical_rl.engine.{module}", str(asked)], check=True)
    return output
