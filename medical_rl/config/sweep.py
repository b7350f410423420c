"""The jobs of a sweep (-m): each is named by what it has of its own, and has a run folder of that name."""

from __future__ import annotations

import re

from omegaconf import DictConfig, OmegaConf


def name_jobs_by_what_differs(arguments: list[str]) -> str:
    """The override that keeps what is equal in all jobs of a sweep out of Hydra's name for a job.

    >>> name_jobs_by_what_differs(["conf=vrft_aug", "conf.seed=1,2", "trainer.logger=[console,file]"])
    "hydra.job.config.override_dirname.exclude_keys=['conf/scale','conf/engine','conf','trainer.logger']"
    """
    equal = ["conf/scale", "conf/engine"]
    for argument in arguments:
        key, _, value = argument.partition("=")
        bare = re.sub(r"\[.*?\]|\{.*?\}|\(.*?\)|'.*?'|\".*?\"", "", value)
        swept = "," in bare or re.match(r"(choice|range|interval|glob)\(", value)
        if swept and key in equal:
            equal.remove(key)
        elif not swept and not argument.startswith("-") and key not in equal:
            equal.append(key.lstrip("+~"))
    return "hydra.job.config.override_dirname.exclude_keys=[" + ",".join(f"'{key}'" for key in equal) + "]"


def settle_run_dir(config: DictConfig) -> DictConfig:
    """The configuration with a folder of its own for each job of a sweep, named by the job's overrides."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return config
    job = HydraConfig.get().job
    name = re.sub(r"[^\w.=+,-]+", "_", job.override_dirname) or f"job{job.num}"
    config = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
    config.conf.run_dir = f"{config.conf.run_dir}/{name[:180]}"
    return config
