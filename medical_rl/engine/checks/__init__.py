"""What a dry run asks of the engine: settings by verl's own checks, a prompt by the model's own processor.

Each is answered by a child process, as verl, torch and transformers take seconds to import: about seven
seconds for the settings (settings.py), about six for a prompt (prompt.py).
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medical_rl.engine.host.environment import stage_environment
from medical_rl.run.processes import METRICS, RUN, STAGE

TIMEOUT_S = 300


def settings_problems(config: DictConfig, reinforced: bool, supervised: Collection[str] = ()) -> list[str]:
    """What verl would refuse of the run's configuration, in plain words, each naming its override.

    reinforced  whether a stage trains by GRPO
    supervised  settings by which a stage trains supervised: "warm_start", "sft"
    """
    return _ask("settings", config, {"reinforced": reinforced, "supervised": list(supervised)})


def prompt_problems(config: DictConfig, model: str, rows: Path) -> list[str]:
    """What is wrong with a real prompt of `rows` under the processor of `model`, by its count of tokens.

    model  a local folder, or a hub id in the cache; only its processor is read
    rows   a prepared parquet; its first row is taken
    A family whose image processor our count cannot read is a problem that names the known families.
    """
    return _ask("prompt", config, {"model": str(model), "rows": str(rows)})


def _ask(module: str, config: DictConfig, request: Mapping[str, Any]) -> list[str]:
    """The problems that `python -m medical_rl.engine.checks.<module>` finds; its own failure is one too."""
    with tempfile.TemporaryDirectory(prefix="medical_rl-check-") as folder:
        request_file, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        OmegaConf.save(config, Path(folder) / "config.yaml")  # unresolved: it says where a value comes from
        request_file.write_text(json.dumps({**request, "answer": str(answer)}), encoding="utf-8")
        environment = stage_environment(config.conf.engine, "", "", "")
        for name in (RUN, STAGE, METRICS):  # it is no stage of the run, and logs nothing
            del environment[name]
        command = [sys.executable, "-m", f"medical_rl.engine.checks.{module}", str(request_file)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment, check=False
            )
        except subprocess.TimeoutExpired:
            return [f"The engine did not answer within {TIMEOUT_S} s: {' '.join(command[1:3])}."]
        if not answer.exists():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            return [
                f"The engine could not be asked ({' '.join(command[1:3])}, exit {done.returncode}): {last}"
            ]
        return json.loads(answer.read_text(encoding="utf-8"))
