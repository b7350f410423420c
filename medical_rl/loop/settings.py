"""The configuration as a step of a round sees it: rows, checkpoints and rollouts of its own."""

from __future__ import annotations

from omegaconf import DictConfig, open_dict

from medical_rl.run.stage_names import split_stage


def settle_round(config: DictConfig, stage: str) -> DictConfig:
    """`config` with the paths of `stage`'s round; unchanged for a stage outside the loop.

    Without folders of its own a round's RL would resume from the round before it.
    """
    round_, _ = split_stage(stage)
    if round_ is None:
        return config
    run, home = str(config.conf.run_dir), stage.rpartition("/")[0]
    with open_dict(config):
        config.data.train_files = f"{run}/{home}/train.parquet"
        config.trainer.default_local_dir = f"{run}/checkpoints/{stage}"
        config.trainer.rollout_data_dir = f"{run}/rollouts/{stage}"
        config.trainer.validation_data_dir = f"{run}/rollouts/{home}/validation"
        config.trainer.experiment_name = f"{config.conf.recipe}-{home}"
    return config
