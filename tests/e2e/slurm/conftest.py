"""One sweep of two jobs on a real Slurm, both taken back in the middle: by `scontrol requeue`, and as at the time limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

# The whole engine at the smallest size that is still every part of it.
SMALL = (
    "conf=vrft_aug",
    "conf/scale=tiny",
    "conf/engine=cpu",
    "conf/launcher=slurm",
    "conf.stages=[prepare,warm_start,rl,evaluate]",
    "conf.data.params.sizes={warm_start: 32, train: 8, val: 2, test: 6}",
    "conf.warm_start.epochs=1",
    "data.train_batch_size=2",
    "actor_rollout_ref.rollout.n=2",
    "actor_rollout_ref.actor.ppo_mini_batch_size=2",
    "trainer.total_training_steps=1",
    "trainer.save_freq=1",
    "trainer.test_freq=1",
)


@dataclass
class Sweep:
    """A finished sweep: its folder, its run folders by seed, what each job printed, what the command printed, Slurm's job ids."""

    folder: Path
    runs: dict[int, Path]
    said: dict[int, str]
    printed: str
    jobs: list[str]

    def stages(self, seed: int) -> dict:
        """The manifest's entries of a run."""
        return json.loads((self.runs[seed] / "manifest.json").read_text())["stages"]


@pytest.fixture(scope="module")
def sweep(slurm, tmp_path_factory) -> Sweep:
    """Seeds 1 and 2, one job at a time on a node of two cores. Each is taken back while it runs the warm start."""
    folder = tmp_path_factory.mktemp("sweep") / "runs"
    runs = {seed: folder / f"conf.seed={seed}" for seed in (1, 2)}
    out = folder.with_suffix(".out")
    with out.open("wb") as output:
        command = [
            sys.executable,
            "-m",
            "medical_rl.main",
            *SMALL,
            f"conf.run_dir={folder}",
            "conf.seed=1,2",
            "-m",
        ]
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | slurm.environment,
        )
    try:
        _until(lambda: _running(runs[1], "warm_start"), process, out)
        array = slurm.run("squeue", "-h", "-o", "%F").split()[0]
        jobs = [slurm.job(f"{array}_{task}")["JobId"] for task in (0, 1)]
        slurm.run("scontrol", "requeue", f"{array}_0")
        _until(lambda: _running(runs[2], "warm_start"), process, out)
        slurm.run("scancel", "--signal=USR2", f"{array}_1")  # what Slurm sends before the time limit
        code = process.wait(timeout=2700)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    said = {seed: _log(folder, f"{array}_{seed - 1}") for seed in runs}
    assert code == 0, out.read_text() + "".join(said.values())
    return Sweep(folder, runs, said, out.read_text(), jobs)


def _running(run: Path, stage: str) -> bool:
    manifest = run / "manifest.json"
    return (
        manifest.exists()
        and json.loads(manifest.read_text())["stages"].get(stage, {}).get("status") == "running"
    )


def _log(folder: Path, job: str) -> str:
    return (folder / ".submitit" / job / f"{job}_0_log.out").read_text()


def _until(condition, process: subprocess.Popen, out: Path, limit_s: float = 900) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, out.read_text()
        time.sleep(0.5)
    time.sleep(2)  # in its middle, not at its border
