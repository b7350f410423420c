"""Stages `sft` and `localize_sft`: the supervised rival of GRPO, on the same rows from the same model, by conf/sft."""

from __future__ import annotations

from omegaconf import DictConfig

from medical_rl.run_folder import RunFolder
from medical_rl.stages.warm_start import teach


def run(config: DictConfig, folder: RunFolder) -> dict:
    """checkpoints/<stage>/huggingface, trained on the rows that GRPO would see; the last step counts."""
    model, notes = teach(config, folder, config.conf.sft, "conf.sft", "train")
    return {"outputs": {"model": model}, "notes": notes}
