"""Stage `rl`: GRPO on the real engine; the best checkpoint by validation is left as the result."""

from __future__ import annotations

import json

from omegaconf import DictConfig

from medical_rl.errors import UserError
from medical_rl.run_folder import RunFolder
from medical_rl.stages.models import leave_model, starting_model


def run(config: DictConfig, folder: RunFolder) -> dict:
    """checkpoints/rl/huggingface: the step that validated best."""
    import medical_rl.engine.plugin  # noqa: F401  before any other part of verl
    from medical_rl.engine.runner import run_grpo
    from medical_rl.engine.settings import rl_config

    start = starting_model(config, folder, "rl")
    settings, notes = rl_config(config, start)
    run_grpo(settings)
    checkpoints = folder.path / "checkpoints" / "rl"
    if not (checkpoints / "best.json").exists():
        raise UserError(
            "GRPO ended without a checkpoint that was validated: trainer.save_freq and trainer.test_freq must be positive "
            f"and meet at a step (they are {config.trainer.save_freq} and {config.trainer.test_freq})."
        )
    best = json.loads((checkpoints / "best.json").read_text())
    notes.append(f"best step by validation {best['metric']}: {best['step']} ({best['score']:.3f})")
    overlong = folder.logs / "overlong.json"
    if overlong.exists():
        removed = json.loads(overlong.read_text())["removed"]
        notes.append(f"{len(removed)} rows were too long and left out: {overlong.relative_to(folder.path)}")
    return {
        "outputs": {"model": leave_model(checkpoints / "best", start, config, folder, "rl")},
        "notes": notes,
        "best": best,
    }
