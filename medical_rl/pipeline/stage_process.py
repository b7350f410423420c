"""One stage's process: started, watched, shown, ended when it stalls or the user stops; its result or its error."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from medical_rl.engine.host.environment import stage_environment
from medical_rl.engine.verl.settings import sft_length
from medical_rl.errors import StageFailed, UserError
from medical_rl.run import processes
from medical_rl.run.folder import RunFolder
from medical_rl.run.processes import last_error
from medical_rl.run.progress import StageProgress, duration
from medical_rl.run.stage_names import split_stage, stage_of
from medical_rl.stages import REINFORCED, SUPERVISED


def attend(stage: str, config: DictConfig, folder: RunFolder, console: Console) -> dict:
    """The stage's result; watches its process, shows progress, ends it when it stalls or the user stops."""
    log = folder.log(stage)
    result = log.with_suffix(".result.json")
    result.unlink(missing_ok=True)
    begins = log.stat().st_size if log.exists() else 0  # earlier attempts wrote the log up to here
    environment = stage_environment(config.conf.engine, folder.id, stage, str(folder.metrics_file))
    environment["TENSORBOARD_DIR"] = str(folder.path / "tensorboard" / stage)
    child = processes.start(
        [sys.executable, "-m", "medical_rl.pipeline.stage_main", stage, str(folder.path)], log, environment
    )
    limit, stalled = float(config.conf.engine.stall_timeout_s), False
    try:
        with StageProgress(
            console, stage, folder.metrics_file, log, _steps(stage, config, folder)
        ) as progress:
            while child.poll() is None and not stalled:
                time.sleep(0.25)
                progress.look()
                stalled = progress.silent_s() > limit
    finally:
        if child.poll() is None:
            child.terminate()
        processes.end_all(folder.id)
        child.wait()
    why = f"nothing happened for {duration(limit)}" if stalled else _why(child.returncode)
    return _result(stage, result, folder, why, last_error(log, begins), log)


def _steps(stage: str, config: DictConfig, folder: RunFolder) -> int | None:
    """Number of steps the stage will take, None where it has no steps."""
    round_, step = split_stage(stage)
    if step in REINFORCED:
        return config.trainer.total_training_steps
    card = folder.path / "data" / "card.json"
    if step in ("warm_start", *SUPERVISED) and card.exists():
        splits, warm = (
            json.loads(card.read_text())["splits"],
            config.conf[step if step == "warm_start" else "sft"],
        )
        rows = splits.get(warm.get("split", "train"), splits.get("train", {"rows": 0}))["rows"]
        if step == "warm_start" and folder.output("pseudo_label", "warm_start") is not None:
            rows = folder.manifest()["stages"]["pseudo_label"]["figures"]["rows"]
        if round_ is not None:
            rows = folder.manifest()["stages"][stage_of(round_, "select")]["figures"]["total"]
        if warm.get("also"):
            return None
        rows = min(rows, warm.get("limit") or rows)
        return sft_length(warm, rows)[0] if rows >= int(warm.batch_size) else None
    return None


def _why(code: int) -> str | None:
    """What an exit code says in words; None for 0."""
    if code == 0:
        return None
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _result(stage: str, result: Path, folder: RunFolder, why: str | None, error: str, log: Path) -> dict:
    said = json.loads(result.read_text()) if result.exists() else {}
    if why is None and "outputs" in said:
        return said
    folder.update_stage(stage, status="failed", finished=now())
    if "error" in said:
        raise UserError(said["error"])
    raise StageFailed(
        f"The stage {stage} failed ({why or 'it gave no result'}). {error}Its log: {log}. "
        "What was done is kept; the same command goes on from there."
    )


def now() -> str:
    """The present time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
