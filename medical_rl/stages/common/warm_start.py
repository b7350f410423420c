"""Stages `warm_start`, and `sft` and `localize_sft` (GRPO's supervised rivals): verl's SFT trainer."""

import dataclasses
import json
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.config.settings import plain
from medical_rl.data.parquet import write_sft_rows
from medical_rl.engine.verl.settings import sft_length, sft_overrides
from medical_rl.errors import UserError
from medical_rl.loop.plan import round_stage, split_stage
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder
from medical_rl.stages import reinforces
from medical_rl.stages.common.further_sets import prepare_warm_start_sets
from medical_rl.stages.common.models import (
    image_limits,
    last_saved_step,
    leave_model,
    ranks_for_batch,
    starting_model,
    training_rows,
)
from medical_rl.stages.stage import TRAINING_ENGINE, Stage
from medical_rl.training.request import training_command


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Train checkpoints/<stage>/huggingface on `conf.warm_start.split` (`train` where there is none)."""
    settings = config.conf.warm_start
    if not settings.enabled:
        raise UserError(
            "conf.stages has warm_start, but conf/warm_start=none: choose conf/warm_start=sft or take the "
            "stage out."
        )
    in_loop = split_stage(folder.stage)[0] is not None
    split = settings.split if training_rows(folder, settings.split).exists() and not in_loop else "train"
    model, notes = supervise(config, folder, settings, "conf.warm_start", split)
    return {"outputs": {"model": model}, "notes": notes}


def supervise(
    config: DictConfig, folder: RunFolder, settings: DictConfig, where: str, split: str
) -> tuple[str, list[str]]:
    """Train the stage's starting model on `split`; return (checkpoints/<stage>/huggingface, notes).

    settings  conf.warm_start or conf.sft. A `target` there stands in for the prompt's
    where     its name, for messages
    """
    stage = folder.stage
    prompt = plain(config.conf.prompt)
    if settings.get("target"):
        prompt["target"] = settings.target
    limits = image_limits(config)
    files = {name: str(folder.path / stage / f"{name}.parquet") for name in ("train", "val")}
    rows, limit = training_rows(folder, split), settings.get("limit")
    count = write_sft_rows(rows, Path(files["train"]), prompt, limits, limit)
    write_sft_rows(training_rows(folder, "val"), Path(files["val"]), prompt, limits)
    for path, other_prompt in prepare_warm_start_sets(config, folder.path) if settings.get("also") else ():
        rows = folder.path / stage / f"{path.parent.name}.parquet"
        count += write_sft_rows(path, rows, other_prompt, limits)
        files.setdefault("also", []).append(str(rows))
    if count < int(settings.batch_size):
        what = "The warm start" if where == "conf.warm_start" else f"The stage {stage}"
        raise UserError(
            f"{what} has {count} rows, fewer than one batch of {settings.batch_size}: lower "
            f"{where}.batch_size."
        )
    start = starting_model(config, folder, stage)
    if config.conf.model.path is not None and reinforces(config.conf.stages):  # before anything is paid for
        from medical_rl.engine.checks.prompt import refuse_uncountable

        refuse_uncountable(start, training_rows(folder, split), limits)
    model, notes = fine_tune(config, folder, start, files, count, settings)
    source = "" if split_stage(stage)[0] else f" of the split {split}"
    return model, [f"{count} rows{source}"] + notes


def fine_tune(
    config: DictConfig, folder: RunFolder, start: str, files: dict, count: int, settings: DictConfig
) -> tuple[str, list[str]]:
    """Train `start` on the `count` rows of `files`; return (checkpoints/<stage>/huggingface, notes)."""
    stage = folder.stage
    checkpoints = folder.path / "checkpoints" / stage
    there, ranks_notes = int(config.conf.engine.ranks), []
    ranks = ranks_for_batch(int(settings.batch_size), there)
    if ranks < there:
        config = OmegaConf.merge(config, {"conf": {"engine": {"ranks": ranks}}})
        ranks_notes = [f"on {ranks} of {there} ranks, as a batch has {settings.batch_size} rows"]
    overrides, notes = sft_overrides(config, start, files, checkpoints, count, settings, stage)
    overrides_file = folder.log(stage).with_suffix(".overrides.json")
    write_json(overrides_file, overrides)
    launch(overrides_file, ranks)
    step = last_saved_step(checkpoints, stage, sft_length(settings, count)[0])
    weights = checkpoints / f"global_step_{step}" / "huggingface"
    return leave_model(weights, start, config, folder, stage), [f"{step} steps"] + ranks_notes + notes


def launch(overrides_file: Path, ranks: int) -> None:
    """Run verl's SFT trainer on `ranks` local processes. An error there ends this stage."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # The one process of one rank; torchrun gives its processes their own.
    alone = {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    command = training_command("medical_rl.engine.verl.sft", overrides_file, ranks)
    subprocess.run(command, check=True, env=os.environ | (alone if ranks == 1 else {}))


def planned_steps(settings: DictConfig, folder: RunFolder, count: int | None = None) -> int | None:
    """The number of steps that `settings` take on `count` rows.

    settings  conf.warm_start or conf.sft
    count     where None, the number of rows on the card

    None before the data are prepared, where further sets are learned too, or where the rows fill no batch.
    """
    card = folder.path / "data" / "card.json"
    if not card.exists() or settings.get("also"):
        return None
    if count is None:
        splits = json.loads(card.read_text())["splits"]
        facts = splits.get(settings.get("split", "train")) or splits.get("train") or {"rows": 0}
        count = facts["rows"]
    count = min(count, settings.get("limit") or count)
    return sft_length(settings, count)[0] if count >= int(settings.batch_size) else None


def steps(config: DictConfig, folder: RunFolder, stage: str) -> int | None:
    """The number of steps of the warm start on the split's rows, on pseudo-labelled ones or a round's."""
    round_, _ = split_stage(stage)
    finished = folder.manifest()["stages"]
    count = None
    if round_ is not None:
        count = finished[round_stage(round_, "select")]["figures"]["total"]
    elif folder.output("pseudo_label", "warm_start") is not None:
        count = finished["pseudo_label"]["figures"]["rows"]
    return planned_steps(config.conf.warm_start, folder, count)


def splits(config: DictConfig, prepared: Mapping) -> tuple[str, ...]:
    """The split that is learned from (train where it was not prepared) and val."""
    wanted = str(config.conf.warm_start.split)
    return (wanted if wanted in prepared else "train", "val")


STAGE = Stage(
    "warm_start", "supervised warm start", run, needs=("prepare", "pseudo_label"),
    reads=("conf.warm_start", "conf.model", "conf.seed") + TRAINING_ENGINE,
    trains="supervised", splits=splits, steps=steps,
)  # fmt: skip


def run_sft(config: DictConfig, folder: RunFolder) -> dict:
    """Train checkpoints/<stage>/huggingface on the rows that GRPO would see; the last step counts."""
    model, notes = supervise(config, folder, config.conf.sft, "conf.sft", "train")
    return {"outputs": {"model": model}, "notes": notes}


SFT = Stage(
    "sft", "supervised arm", run_sft, needs=("prepare", "warm_start"),
    reads=("conf.sft", "conf.model", "conf.seed") + TRAINING_ENGINE,
    steps=lambda config, folder, stage: planned_steps(config.conf.sft, folder),
    trains="supervised", splits=("train", "val"),
)  # fmt: skip
LOCALIZE_SFT = dataclasses.replace(SFT, name="localize_sft", title="localisation by SFT")
