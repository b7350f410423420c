"""Stage `warm_start`: supervised fine-tuning by verl's SFT trainer, one process a rank."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.parquet import write_sft_rows
from medical_rl.engine.verl.settings import sft_length, sft_overrides
from medical_rl.errors import UserError
from medical_rl.loop.plan import round_stage, split_stage
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder
from medical_rl.stages.common.further_sets import prepare_warm_start_sets
from medical_rl.stages.common.models import image_limits, last_saved_step, leave_model, starting_model
from medical_rl.stages.common.rows import training_rows
from medical_rl.stages.stage import TRAINING_ENGINE, Stage


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Train checkpoints/<stage>/huggingface on `conf.warm_start.split` (`train` where there is none)."""
    settings = config.conf.warm_start
    if not settings.enabled:
        raise UserError(
            "conf.stages has warm_start, but conf/warm_start=none: "
            "choose conf/warm_start=sft or take the stage out."
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
    prompt = OmegaConf.to_container(config.conf.prompt, resolve=True)
    if settings.get("target"):
        prompt["target"] = settings.target
    limits = image_limits(config)
    files = {name: str(folder.path / stage / f"{name}.parquet") for name in ("train", "val")}
    count = write_sft_rows(
        training_rows(folder, split), Path(files["train"]), prompt, limits, settings.get("limit")
    )
    write_sft_rows(training_rows(folder, "val"), Path(files["val"]), prompt, limits)
    for path, other_prompt in prepare_warm_start_sets(config, folder.path) if settings.get("also") else ():
        rows = folder.path / stage / f"{path.parent.name}.parquet"
        count += write_sft_rows(path, rows, other_prompt, limits)
        files.setdefault("also", []).append(str(rows))
    if count < int(settings.batch_size):
        what = "The warm start" if where == "conf.warm_start" else f"The stage {stage}"
        raise UserError(
            f"{what} has {count} rows, fewer than one batch of {settings.batch_size}: "
            f"lower {where}.batch_size."
        )
    model, notes = fine_tune(config, folder, starting_model(config, folder, stage), files, count, settings)
    source = "" if split_stage(stage)[0] else f" of the split {split}"
    return model, [f"{count} rows{source}", *notes]


def fine_tune(
    config: DictConfig, folder: RunFolder, start: str, files: dict, count: int, settings: DictConfig
) -> tuple[str, list[str]]:
    """Train `start` on the `count` rows of `files`; return (checkpoints/<stage>/huggingface, notes)."""
    stage = folder.stage
    checkpoints = folder.path / "checkpoints" / stage
    overrides, notes = sft_overrides(config, start, files, checkpoints, count, settings, stage)
    overrides_file = folder.log(stage).with_suffix(".overrides.json")
    write_json(overrides_file, overrides)
    launch(overrides_file, int(config.conf.engine.ranks))
    step = last_saved_step(checkpoints, stage, sft_length(settings, count)[0])
    weights = checkpoints / f"global_step_{step}" / "huggingface"
    return leave_model(weights, start, config, folder, stage), [f"{step} steps", *notes]


def launch(overrides_file: Path, ranks: int) -> None:
    """Run verl's SFT trainer on `ranks` local processes. An error there ends this stage."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    trainer = ["-m", "medical_rl.engine.verl.sft", str(overrides_file)]
    environment = dict(os.environ)
    if ranks > 1:
        torchrun = ["-m", "torch.distributed.run", f"--nproc_per_node={ranks}", f"--master_port={port}"]
        trainer = torchrun + trainer
    else:
        environment |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    subprocess.run([sys.executable, *trainer], check=True, env=environment)


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
    name="warm_start",
    title="supervised warm start",
    run=run,
    needs=("prepare", "pseudo_label"),
    reads=("conf.warm_start", "conf.model", "conf.seed", *TRAINING_ENGINE),
    trains="supervised",
    splits=splits,
    steps=steps,
)
