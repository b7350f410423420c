"""Stage `warm_start`: supervised fine-tuning on prepared rows by verl's SFT trainer, one process a rank."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.errors import UserError
from medical_rl.run_folder import RunFolder, write_json
from medical_rl.stages.models import base_model, leave_model
from medical_rl.warm_start.rows import write_sft_rows


def run(config: DictConfig, folder: RunFolder) -> dict:
    """checkpoints/warm_start/huggingface, trained on `conf.warm_start.split` (or `train` where there is none)."""
    from medical_rl.engine.settings import sft_overrides

    if not config.conf.warm_start.enabled:
        raise UserError(
            "conf.stages has warm_start, but conf/warm_start=none: choose conf/warm_start=sft or take the stage out."
        )
    warm, data = config.conf.warm_start, folder.path / "data"
    split = warm.split if (data / f"{warm.split}.parquet").exists() else "train"
    prompt = OmegaConf.to_container(config.conf.prompt, resolve=True)
    limits = {k: int(config.conf.model[k]) for k in ("min_pixels", "max_pixels")}
    files = {
        "train": str(folder.path / "warm_start" / "train.parquet"),
        "val": str(folder.path / "warm_start" / "val.parquet"),
    }
    rows = write_sft_rows(data / f"{split}.parquet", Path(files["train"]), prompt, limits, warm.limit)
    write_sft_rows(data / "val.parquet", Path(files["val"]), prompt, limits)
    if rows < int(warm.batch_size):
        raise UserError(
            f"The warm start has {rows} rows, fewer than one batch of {warm.batch_size}: lower conf.warm_start.batch_size."
        )
    checkpoints = folder.path / "checkpoints" / "warm_start"
    start = base_model(config, folder)
    overrides, notes = sft_overrides(config, start, files, checkpoints, rows)
    write_json(folder.logs / "warm_start.overrides.json", overrides)
    launch(folder.logs / "warm_start.overrides.json", int(config.conf.engine.ranks))
    step = (checkpoints / "latest_checkpointed_iteration.txt").read_text().strip()
    trained = checkpoints / f"global_step_{step}" / "huggingface"
    return {
        "outputs": {"model": leave_model(trained, start, config, folder, "warm_start")},
        "notes": [f"{rows} rows of the split {split}, {step} steps", *notes],
    }


def launch(overrides: Path, ranks: int) -> None:
    """None; runs verl's SFT trainer on `ranks` local processes. An error there ends this stage."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "medical_rl.engine.sft", str(overrides)]
    if ranks > 1:
        torchrun = ["-m", "torch.distributed.run", f"--nproc_per_node={ranks}", f"--master_port={port}"]
        command = [sys.executable, *torchrun, "-m", "medical_rl.engine.sft", str(overrides)]
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    environment = os.environ | (alone if ranks == 1 else {})
    subprocess.run(command, check=True, env=environment)
