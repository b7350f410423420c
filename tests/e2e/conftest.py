"""The one end-to-end run of `conf=vrft_aug` that its tests share: killed in the middle of GRPO, then run again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

# Small in every direction but real in every part: Ray, FSDP2, a vLLM server, GRPO with images.
# A rate that moves the weights visibly in a few steps, so that stale rollout weights would show.
SMALL = (
    "conf=vrft_aug",
    "conf/scale=tiny",
    "conf/engine=cpu",
    "conf.data.params.sizes={warm_start: 512, train: 64, val: 16, test: 30}",
    "conf.warm_start.epochs=2",
    "data.train_batch_size=4",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.actor.ppo_mini_batch_size=2",
    "actor_rollout_ref.actor.optim.lr=1e-3",
    "trainer.total_training_steps=6",
    "trainer.save_freq=1",
    "trainer.test_freq=2",
)


# Must appear nowhere in what a run writes.
CANARIES = {
    name: "sk-canary-7f3a" for name in ("OPENAI_API_KEY", "WANDB_API_KEY", "HF_TOKEN", "VLLM_API_KEY")
}


@dataclass
class Run:
    """A finished run: its folder, what the killed and the second attempt printed, when the kill came."""

    path: Path
    first: str
    second: str
    killed_at: int


def start(folder: Path, *overrides: str, **environment) -> subprocess.Popen:
    """`python -m medical_rl.main` in a process group of its own, its output in <folder>.out."""
    output = open(f"{folder}.out", "ab")  # noqa: SIM115  lives as long as the process
    return subprocess.Popen(
        [sys.executable, "-m", "medical_rl.main", *SMALL, f"conf.run_dir={folder}", *overrides],
        stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env=os.environ | CANARIES | environment,
    )  # fmt: skip


def saved_step(folder: Path) -> int:
    """The newest step GRPO has saved in `folder`, 0 before the first."""
    tracker = folder / "checkpoints" / "rl" / "latest_checkpointed_iteration.txt"
    return int(tracker.read_text() or 0) if tracker.exists() else 0


@pytest.fixture(scope="session")
def run(tmp_path_factory, settings_read) -> Run:
    """The shared run: SIGKILL to its whole process group once step 3 is saved, then the same command again."""
    folder = tmp_path_factory.mktemp("e2e") / "vrft_aug"
    printed = Path(f"{folder}.out")
    recorded = settings_read.environment(folder)
    process = start(folder, **recorded)
    deadline = time.monotonic() + 1200
    while saved_step(folder) < 3:
        assert process.poll() is None, f"the run ended before step 3:\n{printed.read_text()}"
        assert time.monotonic() < deadline, f"no step 3 within twenty minutes:\n{printed.read_text()}"
        time.sleep(0.2)
    killed_at = saved_step(folder)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    first = printed.read_text()
    printed.unlink()
    code = start(folder, **recorded).wait(timeout=1200)
    second = printed.read_text()
    assert code == 0, second + (folder / "logs" / "rl.log").read_text()[-5000:]
    return Run(folder, first, second, killed_at)


@pytest.fixture
def prepared_copy(run):
    """Copies the shared run as it was before GRPO: its rows and its warm start are done."""

    def copy(folder: Path) -> Path:
        left_out = {"rl", "rollouts", "metrics.jsonl", ".lock"}
        shutil.copytree(run.path, folder, ignore=lambda at, names: left_out & set(names))
        manifest = json.loads((folder / "manifest.json").read_text())
        before = {name: manifest["stages"][name] for name in ("prepare", "warm_start")}
        (folder / "manifest.json").write_text(json.dumps(manifest | {"stages": before}))
        return folder

    return copy


@pytest.fixture
def again():
    """Runs the shared run's command once more; gives what it printed."""

    def go(folder: Path, *overrides: str) -> str:
        printed = Path(f"{folder}.out")
        printed.unlink(missing_ok=True)
        assert start(folder, *overrides).wait(timeout=120) == 0
        return printed.read_text()

    return go


@pytest.fixture
def start_run():
    """`start`, for a test's own run; whatever still runs at the test's end is killed."""
    started: list[subprocess.Popen] = []

    def go(folder: Path, *overrides: str, **environment) -> subprocess.Popen:
        started.append(start(folder, *overrides, **environment))
        return started[-1]

    yield go
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
