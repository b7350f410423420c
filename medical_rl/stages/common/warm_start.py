"""Stage `warm_start`: supervised fine-tuning on prepared rows by verl's SFT trainer, one process a rank.

Stages `sft` and `localize_sft`: the supervised rival of GRPO, on the same rows from the same model, by conf/sft.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.data.sft_rows import write_sft_rows
from medical_rl.errors import UserError
from medical_rl.run.files import write_json
from medical_rl.run.folder import RunFolder
from medical_rl.run.stage_names import split_stage
from medical_rl.stages.common.models import image_limits, leave_model, starting_model
from medical_rl.stages.common.prepare import prepare_also


def run(config: DictConfig, folder: RunFolder) -> dict:
    """checkpoints/warm_start/huggingface, trained on `conf.warm_start.split` (or `train` where there is none)."""
    if not config.conf.warm_start.enabled:
        raise UserError(
            "conf.stages has warm_start, but conf/warm_start=none: choose conf/warm_start=sft or take the stage out."
        )
    warm = config.conf.warm_start
    split = (
        warm.split if folder.rows(warm.split).exists() and split_stage(folder.stage)[0] is None else "train"
    )
    model, notes = teach(config, folder, warm, "conf.warm_start", split)
    return {"outputs": {"model": model}, "notes": notes}


def teach(
    config: DictConfig, folder: RunFolder, settings: DictConfig, where: str, split: str
) -> tuple[str, list[str]]:
    """(checkpoints/<stage>/huggingface, notes) of the stage's starting model after supervised training on `split`.

    settings  conf.warm_start or conf.sft; `where` is its name, for messages. A `target` there stands in for the prompt's.
    """
    stage = folder.stage
    prompt = OmegaConf.to_container(config.conf.prompt, resolve=True)
    prompt |= {"target": settings.target} if settings.get("target") else {}
    limits = image_limits(config)
    files = {name: str(folder.path / stage / f"{name}.parquet") for name in ("train", "val")}
    rows = write_sft_rows(folder.rows(split), Path(files["train"]), prompt, limits, settings.get("limit"))
    write_sft_rows(folder.rows("val"), Path(files["val"]), prompt, limits)
    for path, asked in prepare_also(config, folder.path) if settings.get("also") else ():
        more = folder.path / stage / f"{path.parent.name}.parquet"
        rows += write_sft_rows(path, more, asked, limits)
        files.setdefault("also", []).append(str(more))
    if rows < int(settings.batch_size):
        what = "The warm start" if where == "conf.warm_start" else f"The stage {stage}"
        raise UserError(
            f"{what} has {rows} rows, fewer than one batch of {settings.batch_size}: lower {where}.batch_size."
        )
    model, notes = fine_tune(config, folder, starting_model(config, folder, stage), files, rows, settings)
    told = f"{rows} rows" + ("" if split_stage(stage)[0] else f" of the split {split}")
    return model, [told, *notes]


def fine_tune(
    config: DictConfig,
    folder: RunFolder,
    start: str,
    files: dict,
    rows: int,
    settings: DictConfig | None = None,
) -> tuple[str, list[str]]:
    """(checkpoints/<stage>/huggingface, notes) after `start` was trained on the rows of `files` by `settings` (default: conf.warm_start)."""
    from medical_rl.engine.verl.settings import sft_overrides

    stage = folder.stage
    checkpoints = folder.path / "checkpoints" / stage
    settings = config.conf.warm_start if settings is None else settings
    overrides, notes = sft_overrides(config, start, files, checkpoints, rows, settings, stage)
    written = folder.log(stage).with_suffix(".overrides.json")
    write_json(written, overrides)
    launch(written, int(config.conf.engine.ranks))
    step = (checkpoints / "latest_checkpointed_iteration.txt").read_text().strip()
    trained = checkpoints / f"global_step_{step}" / "huggingface"
    return leave_model(trained, start, config, folder, stage), [f"{step} steps", *notes]


def launch(overrides: Path, ranks: int) -> None:
    """None; runs verl's SFT trainer on `ranks` local processes. An error there ends this stage."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "medical_rl.engine.verl.sft", str(overrides)]
    if ranks > 1:
        torchrun = ["-m", "torch.distributed.run", f"--nproc_per_node={ranks}", f"--master_port={port}"]
        command = [sys.executable, *torchrun, "-m", "medical_rl.engine.verl.sft", str(overrides)]
    alone = {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    environment = os.environ | (alone if ranks == 1 else {})
    subprocess.run(command, check=True, env=environment)


def run_sft(config: DictConfig, folder: RunFolder) -> dict:
    """checkpoints/<stage>/huggingface, trained on the rows that GRPO would see; the last step counts."""
    model, notes = teach(config, folder, config.conf.sft, "conf.sft", "train")
    return {"outputs": {"model": model}, "notes": notes}
