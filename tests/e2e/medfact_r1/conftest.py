"""The one end-to-end run of `conf=medfact_r1` that its tests share: all eight stages, killed while GRPO ran, then run again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

# Small in every direction but real in every part.
SMALL = (
    "conf=medfact_r1",
    "conf/scale=tiny",
    "conf/engine=cpu",
    "conf.data.params.sizes={train: 400, val: 16, test: 40}",
    "conf.calibration.candidates=[1,8]",
    # about 100 questions, of which some 20 will be wrong: 29 may be
    "conf.calibration.share=0.5",
    "conf.calibration.alpha=0.4",
    # enough to learn the form
    "conf.warm_start.epochs=12",
    "data.train_batch_size=4",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.actor.ppo_mini_batch_size=2",
    "trainer.total_training_steps=3",
    "trainer.save_freq=1",
    "trainer.test_freq=1",
)


@dataclass
class Run:
    """A finished run: its folder, and what its last attempt printed."""

    path: Path
    printed: str


def start(folder: Path, *overrides: str, **environment) -> subprocess.Popen:
    """The run's command in a process group of its own, its output in <folder>.out."""
    output = open(f"{folder}.out", "ab")  # noqa: SIM115  lives as long as the process
    return subprocess.Popen(
        [sys.executable, "-m", "medical_rl.main", *SMALL, f"conf.run_dir={folder}", *overrides],
        stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env=os.environ | {"COLUMNS": "160"} | environment,
    )  # fmt: skip


def finish(folder: Path, *overrides: str, **environment) -> str:
    """What the command printed; fails where it does not end well."""
    printed = Path(f"{folder}.out")
    printed.unlink(missing_ok=True)
    code = start(folder, *overrides, **environment).wait(timeout=1500)
    logs = sorted((folder / "logs").rglob("*.log"), key=lambda p: p.stat().st_mtime)
    assert code == 0, printed.read_text() + (logs[-1].read_text()[-5000:] if logs else "")
    return printed.read_text()


@pytest.fixture(scope="session")
def run(tmp_path_factory, settings_read) -> Run:
    """The shared run: SIGKILL to its whole process group while the cold start trains, then the same command again."""
    folder = tmp_path_factory.mktemp("e2e") / "medfact_r1"
    recorded = settings_read.environment(folder)
    process, deadline = start(folder, **recorded), time.monotonic() + 1200
    log = folder / "logs" / "warm_start.log"
    while not log.exists():
        assert process.poll() is None and time.monotonic() < deadline, Path(f"{folder}.out").read_text()
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return Run(folder, finish(folder, **recorded))


@pytest.fixture(scope="session")
def again():
    """The same command once more, with further overrides."""
    return lambda run, *overrides: finish(run.path, *overrides)
