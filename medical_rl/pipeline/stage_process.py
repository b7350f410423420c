"""One stage's process: started, watched, shown, ended when it stalls or the user stops."""

import json
import sys
import time
from datetime import UTC, datetime

from omegaconf import DictConfig
from rich.console import Console

from medical_rl.engine.host.environment import stage_environment
from medical_rl.errors import StageFailed, UserError
from medical_rl.run import processes
from medical_rl.run.folder import RunFolder
from medical_rl.run.progress import StageProgress, duration
from medical_rl.stages import declared

POLL_S = 0.25


def run_stage_process(stage: str, config: DictConfig, folder: RunFolder, console: Console) -> dict:
    """Run the stage in a process, its progress shown: its result, else its own UserError or StageFailed."""
    log = folder.log(stage)
    result_file = log.with_suffix(".result.json")
    result_file.unlink(missing_ok=True)
    begins = log.stat().st_size if log.exists() else 0  # earlier attempts wrote the log up to here
    environment = stage_environment(config.conf.engine, folder.id, stage, str(folder.metrics_file))
    environment["TENSORBOARD_DIR"] = str(folder.path / "tensorboard" / stage)
    command = [sys.executable, "-m", "medical_rl.pipeline.stage_main", stage, str(folder.path)]
    child = processes.start(command, log, environment)
    limit, stalled = float(config.conf.engine.stall_timeout_s), False
    count_steps = declared(stage).steps
    steps = count_steps(config, folder, stage) if count_steps else None
    try:
        with StageProgress(console, stage, folder.metrics_file, log, steps) as progress:
            while child.poll() is None and not stalled:
                time.sleep(POLL_S)
                progress.look()
                stalled = progress.silent_s() > limit
    finally:
        if child.poll() is None:
            child.terminate()
        processes.end_all(folder.id)
        child.wait()
    code = child.returncode
    result = json.loads(result_file.read_text()) if result_file.exists() else {}
    if code == 0 and not stalled and "outputs" in result:
        return result
    folder.update_stage(stage, status="failed", finished=now())
    if "error" in result:
        raise UserError(result["error"])
    if "failed" in result:
        raise StageFailed(f"The stage {stage} failed. {result['failed']} Its log: {log}.")
    reason = "it gave no result"
    if stalled:
        reason = f"nothing happened for {duration(limit)}"
    elif code:
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
    raise StageFailed(
        f"The stage {stage} failed ({reason}). {processes.last_error(log, begins)}Its log: {log}. "
        "What was done is kept; the same command goes on from there."
    )


def now() -> str:
    """The present time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
