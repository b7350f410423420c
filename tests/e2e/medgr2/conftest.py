"""The one end-to-end run of `conf=medgr2` that its tests share: a round with every step, on the real engine."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

# Small in every direction but real in every part. R_phi learns next to nothing here, so the filter takes the better half.
SMALL = (
    "conf=medgr2",
    "conf/scale=tiny",
    "conf/engine=cpu",
    "conf.data.params.sizes={train: 240, val: 16, test: 20}",
    "conf.reward_training.rows=100",
    "conf.reward_training.sft.steps=10",
    "conf.reward_training.fit.steps=20",
    "conf.reward_training.again.steps=5",
    "conf.reward_training.held_out=12",
    "conf.generator.images=60",
    # such a policy writes no answers; R_phi is to be asked all the same
    "conf.rewards.terms.learned.no_answer=asked",
    "conf.loop.rounds=1",
    "conf.loop.evolve_last=true",
    "conf.loop.steps=[generate,score,select,warm_start,rl,preferences,reward_model,distil]",
    "conf.loop.seed_rows=24",
    "conf.loop.filter={by: quantile, quantile: 0.5}",
    "conf.loop.preferences.rows=8",
    "conf.loop.preferences.n=2",
    "conf.warm_start.epochs=1",
    "data.train_batch_size=4",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.actor.ppo_mini_batch_size=2",
    "trainer.total_training_steps=2",
    "trainer.save_freq=1",
    "trainer.test_freq=1",
)


@dataclass
class Run:
    """A finished run: its folder and what it printed."""

    path: Path
    printed: str


def command(folder: Path, *overrides: str, **environment) -> str:
    """What `python -m medical_rl.main` printed for the small run in `folder`; fails where it does not end well."""
    done = subprocess.run(
        [sys.executable, "-m", "medical_rl.main", *SMALL, f"conf.run_dir={folder}", *overrides],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=2400, env=os.environ | {"COLUMNS": "160"} | environment,
    )  # fmt: skip
    logs = sorted(folder.rglob("*.log"), key=lambda p: p.stat().st_mtime)
    assert done.returncode == 0, done.stdout + (logs[-1].read_text()[-5000:] if logs else "")
    return done.stdout


@pytest.fixture(scope="session")
def run(tmp_path_factory, settings_read) -> Run:
    """The shared run."""
    folder = tmp_path_factory.mktemp("e2e") / "medgr2"
    return Run(folder, command(folder, **settings_read.environment(folder)))


@pytest.fixture(scope="session")
def again():
    """The same command once more, with further overrides."""
    return lambda run, *overrides: command(run.path, *overrides)
