"""What verl and the model's own processor say of a run, before anything is paid for."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.config.settings import plain
from medical_rl.data.prepare.card import read_card
from medical_rl.engine.checks import prompt_problems, settings_problems
from medical_rl.errors import UserError
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder
from medical_rl.stages import LOOP, reinforces, supervised_arms
from medical_rl.stages.common.models import is_local, resolve_model
from medical_rl.stages.common.prepare import first_split

CHECKED = "checked.json"  # in logs/: what passed, so that a resumed run does not ask again


def verl_problems(config: DictConfig) -> list[str]:
    """What verl would refuse of the settings of the stages that train."""
    conf = config.conf
    supervised = ["sft"] if supervised_arms(conf.stages) else []
    if conf.warm_start.enabled and {"warm_start", LOOP} & set(conf.stages):
        supervised.append("warm_start")
    reinforced = reinforces(conf.stages)
    return settings_problems(config, reinforced, supervised) if reinforced or supervised else []


def model_in_place(config: DictConfig, built: Path | None) -> str | None:
    """The folder of the run's model, built or configured; None for a hub id that is not in the cache."""
    path = config.conf.model.path
    if path is None:
        return str(built) if built else None
    try:
        return resolve_model(str(path), download=False)
    except UserError:
        if is_local(str(path)):
            raise
        return None


def check_settings_once(config: DictConfig, folder: RunFolder) -> None:
    """Raise UserError for what verl would refuse, unless the same settings passed before."""
    _once(folder, "settings", plain(config), lambda: verl_problems(config))


def check_prompt_once(config: DictConfig, folder: RunFolder) -> str | None:
    """Raise UserError for a real prompt that the processor reads otherwise than we count; a note, or None."""
    stages = list(config.conf.stages)
    if stages == ["prepare"]:
        return None
    model, data = model_in_place(config, folder.output("prepare", "model")), folder.path / "data"
    if model is None:
        return f"not checked: a real prompt, as {config.conf.model.path} is not in the cache yet"
    rows = data / f"{first_split(read_card(data))}.parquet"
    state = [plain(config), read_card(data).get("recipe")]
    _once(folder, "prompt", state, lambda: prompt_problems(config, model, rows))
    return None


def _once(folder: RunFolder, what: str, state, ask: Callable[[], list[str]]) -> None:
    file = folder.logs / CHECKED
    passed = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    key = hashlib.sha256(json.dumps(state, sort_keys=True, default=str).encode()).hexdigest()
    if passed.get(what) == key:
        return
    problems = ask()
    if problems:
        raise UserError(" ".join(problems))
    write_json(file, {**passed, what: key})
