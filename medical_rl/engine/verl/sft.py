"""One rank of supervised training: `python -m medical_rl.engine.verl.sft OVERRIDES.json`."""

import json
import sys
from pathlib import Path

import verl.trainer.sft_trainer as sft_trainer
from hydra import compose, initialize_config_dir

import medical_rl.engine.verl.plugin  # noqa: F401, I001  before any other part of verl
from medical_rl.config.compose import verl_config_folder
from medical_rl.engine.verl.tracking import RunTracking


class EpochSafeTrainer(sft_trainer.SFTTrainer):
    """verl's SFT trainer, resumed at an epoch's end as anywhere else.

    A dataloader restored from a checkpoint at an epoch's end is exhausted: verl 0.9.1 would take no batch
    from it, lose an epoch and end with exit code 0. There the next epoch begins with a new one; its order
    is the sampler's, which follows the epoch's number.
    """

    def fit(self) -> None:
        """Train from the resumed step to the last."""
        if self.resume_global_step and self.resume_global_step % self.steps_per_epoch == 0:
            self._build_dataloader()
            self.ckpt_handler.train_dataloader = self.train_dataloader
        super().fit()


def main(overrides: Path) -> None:
    """Train to the last step; verl leaves its checkpoints, the Hugging Face folder among them."""
    with initialize_config_dir(str(verl_config_folder()), version_base=None):
        config = compose("sft_trainer_engine", overrides=json.loads(overrides.read_text()))
    sft_trainer.Tracking, sft_trainer.SFTTrainer = RunTracking, EpochSafeTrainer
    sft_trainer.run_sft(config)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
