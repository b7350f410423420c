"""One rank of supervised training: `python -m medical_rl.engine.verl.sft OVERRIDES.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import verl.trainer.sft_trainer as sft_trainer
from hydra import compose, initialize_config_dir

import medical_rl.engine.verl.plugin  # noqa: F401, I001  before any other part of verl
from medical_rl.config.compose import verl_config_folder
from medical_rl.engine.verl.tracking import RunTracking


def main(overrides: Path) -> None:
    """Train to the last step; verl leaves its checkpoints, the Hugging Face folder among them."""
    with initialize_config_dir(str(verl_config_folder()), version_base=None):
        config = compose("sft_trainer_engine", overrides=json.loads(overrides.read_text()))
    sft_trainer.Tracking = RunTracking
    sft_trainer.run_sft(config)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
