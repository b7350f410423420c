"""The space that a run will take on disk, and whether it is there."""

import os
import shutil
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.config.hardware import count_gpus
from medical_rl.errors import UserError
from medical_rl.stages import LOOP, reinforces, supervised_arms

# Bytes a parameter of a saved step: float32 weights, two AdamW moments, and the Hugging Face copy.
BYTES_SAVED = 4 + 8 + 4
KNOWN_PARAMETERS = {"tiny": 2.1e6, "qwen2_5_vl_3b": 3.75e9, "qwen2_5_vl_7b": 8.3e9}


def count_parameters(config: DictConfig) -> float:
    """The number of parameters of the configured model: counted in its folder, else known by name."""
    path = config.conf.model.path
    if path is not None and (folder := Path(str(path)).expanduser()).is_dir():
        return sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 2
    return KNOWN_PARAMETERS.get(str(config.conf.model.name), KNOWN_PARAMETERS["qwen2_5_vl_7b"])


def bytes_needed(config: DictConfig) -> int:
    """The bytes a run takes at most: RL steps it keeps, one being written, best and supervised models."""
    saves = config.conf.max_ckpt_to_keep
    if not saves:
        saves = max(1, int(config.trainer.total_training_steps or 1) // int(config.trainer.save_freq))
    arms = len(supervised_arms(config.conf.stages))
    steps = 2 * (int(bool(config.conf.warm_start.enabled)) + arms)
    if reinforces(config.conf.stages) or not arms:
        steps += int(saves) + 1
    if LOOP in config.conf.stages:
        # every round keeps its own, and an R_phi with the state it was trained in
        steps = (steps + 2) * int(config.conf.loop.rounds)
    return int(count_parameters(config) * (BYTES_SAVED * steps + 4))


def check_disk_space(config: DictConfig) -> str:
    """The space needed and free, as a sentence; a UserError for a folder unwritable or too small."""
    folder = Path(str(config.conf.run_dir)).expanduser().resolve()
    while not os.path.exists(folder):  # False, not an error, below a folder that may not be searched
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(
            f"The run folder {config.conf.run_dir} cannot be made: {folder} cannot be written. Choose "
            "another conf.run_dir."
        )
    needed, free = bytes_needed(config), shutil.disk_usage(folder).free
    sentence = f"about {needed / 1e9:.1f} GB needed below {folder}, {free / 1e9:.1f} GB free"
    if needed <= free:
        return sentence
    engine = config.conf.engine
    if engine.device != "cpu" and count_gpus() < int(engine.ranks):
        return (
            f"{sentence}: [yellow]too little here[/yellow], but neither are this run's GPUs; see to it "
            "where it will run"
        )
    raise UserError(
        f"Not enough disk: {sentence}. Choose another conf.run_dir, or keep fewer steps "
        "(conf.max_ckpt_to_keep)."
    )
