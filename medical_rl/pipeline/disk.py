"""The space that a run will take on disk, and whether it is there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.config.hardware import count_gpus
from medical_rl.errors import UserError
from medical_rl.stages import SUPERVISED, reinforces

# Bytes a parameter of a saved step: float32 weights, two AdamW moments, and the Hugging Face copy.
BYTES_SAVED = 4 + 8 + 4
KNOWN_PARAMETERS = {"tiny": 2.1e6, "qwen2_5_vl_3b": 3.75e9, "qwen2_5_vl_7b": 8.3e9}


def parameters(config: DictConfig) -> float:
    """Number of parameters of the configured model: counted in its folder, else known by name."""
    path = config.conf.model.path
    if path is not None and (folder := Path(str(path)).expanduser()).is_dir():
        return sum(f.stat().st_size for f in folder.glob("*.safetensors")) / 2
    return KNOWN_PARAMETERS.get(str(config.conf.model.name), KNOWN_PARAMETERS["qwen2_5_vl_7b"])


def needed(config: DictConfig) -> int:
    """Bytes a run will take at most: kept RL steps, the one being written, the best and supervised models."""
    kept = config.conf.max_ckpt_to_keep or max(
        1, int(config.trainer.total_training_steps or 1) // int(config.trainer.save_freq)
    )
    supervised = sum(stage in SUPERVISED for stage in config.conf.stages)
    reinforced = int(kept) + 1 if reinforces(config.conf.stages) or not supervised else 0
    steps = reinforced + 2 * (int(bool(config.conf.warm_start.enabled)) + supervised)
    if (
        "loop" in config.conf.stages
    ):  # every round keeps its own, and an R_phi with the state it was trained in
        steps = (steps + 2) * int(config.conf.loop.rounds)
    return int(parameters(config) * (BYTES_SAVED * steps + 4))


def enough(config: DictConfig) -> str:
    """What is needed and what is free, as a sentence; UserError where the folder cannot be written or is too small."""
    folder = Path(str(config.conf.run_dir)).expanduser().resolve()
    while not os.path.exists(folder):  # False, not an error, below a folder that may not be searched
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(
            f"The run folder {config.conf.run_dir} cannot be made: {folder} cannot be written. Choose another conf.run_dir."
        )
    wanted, free = needed(config), shutil.disk_usage(folder).free
    said = f"about {wanted / 1e9:.1f} GB needed below {folder}, {free / 1e9:.1f} GB free"
    engine = config.conf.engine
    if wanted > free and engine.device != "cpu" and count_gpus() < int(engine.ranks):
        return f"{said}: [yellow]too little here[/yellow], but neither are this run's GPUs; see to it where it will run"
    if wanted > free:
        raise UserError(
            f"Not enough disk: {said}. Choose another conf.run_dir, or keep fewer steps (conf.max_ckpt_to_keep)."
        )
    return said
