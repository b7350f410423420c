"""Sets that a warm start learns besides the run's own (conf.warm_start.also): the stand-in for an Instruct model knows several forms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.stages.measured_on import further_sets, prepare_further

FOLDER = "data_also"


def also_sets(config: DictConfig) -> list[tuple[dict, dict]]:
    """(data, prompt) of each set, its rows of conf.warm_start.split (train where it has no such split) alone; [] without a warm start."""
    warm = config.conf.warm_start
    if not warm.enabled or not warm.get("also"):
        return []
    return [(_of_split(data, str(warm.split)), prompt) for data, prompt in further_sets(config, warm.also)]


def prepare_also(config: DictConfig, home: Path) -> list[tuple[Path, dict]]:
    """(rows, prompt) of each set, prepared below `home`; a second call with the same settings does nothing."""
    found = []
    for data, prompt in also_sets(config):
        out = home / FOLDER / data["name"]
        prepare_further(data, prompt, out, config)
        found.append((out / f"{data['only'][0]}.parquet", prompt))
    return found


def _of_split(data: Mapping, wanted: str) -> dict:
    from medical_rl.data.readers import load_reader, splits

    known = splits(load_reader(data["reader"]), data.get("params") or {}, None)
    return {**data, "only": [wanted if wanted in known else "train"]}
