"""Stages `sft` and `localize_sft`: the supervised rival of GRPO, on its rows and model, by conf/sft."""

import dataclasses
from collections.abc import Mapping

from omegaconf import DictConfig

from medical_rl.run.folder import RunFolder
from medical_rl.stages.common.warm_start import planned_steps, supervise
from medical_rl.stages.stage import TRAINING_ENGINE, Stage


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Train checkpoints/<stage>/huggingface on the rows that GRPO would see; the last step counts."""
    model, notes = supervise(config, folder, config.conf.sft, "conf.sft", "train")
    return {"outputs": {"model": model}, "notes": notes}


def steps(config: DictConfig, folder: RunFolder, stage: str) -> int | None:
    """The number of steps of conf.sft on the training rows."""
    return planned_steps(config.conf.sft, folder)


def splits(config: DictConfig, prepared: Mapping) -> tuple[str, ...]:
    """The splits that GRPO would see."""
    return ("train", "val")


STAGE = Stage(
    name="sft",
    title="supervised arm",
    run=run,
    needs=("prepare", "warm_start"),
    reads=("conf.sft", "conf.model", "conf.seed", *TRAINING_ENGINE),
    trains="supervised",
    splits=splits,
    steps=steps,
)
LOCALIZE = dataclasses.replace(STAGE, name="localize_sft", title="localisation by SFT")
