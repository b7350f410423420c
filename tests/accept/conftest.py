"""The long proofs of `make accept`: resumable runs below runs/accept, their figures in benchmarks/."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Acceptance:
    """Starts recipes in runs/accept/<name> by the same command a user types."""

    root, benchmarks = ROOT, ROOT / "benchmarks"
    runs = ROOT / "runs" / "accept"
    # Two steps of GRPO, four groups of four, that are saved and tested: what a test of an option needs and no more.
    two_steps = (
        "data.train_batch_size=4",
        "actor_rollout_ref.rollout.n=4",
        "trainer.total_training_steps=2",
        "trainer.save_freq=2",
        "trainer.test_freq=2",
    )

    def command(self, name: str, *overrides: str, recipe: str = "vrft_aug") -> list[str]:
        return [sys.executable, "-m", "medical_rl.main", f"conf={recipe}", "conf/scale=tiny", "conf/engine=cpu",
                f"conf.run_dir={self.runs / name}", *overrides]  # fmt: skip

    def start(self, name: str, *overrides: str, recipe: str = "vrft_aug", **environment) -> subprocess.Popen:
        """The started run, in a process group of its own; output appended to <name>.out."""
        (self.runs / name).parent.mkdir(parents=True, exist_ok=True)
        output = open(self.runs / f"{name}.out", "ab")  # noqa: SIM115  lives as long as the process
        return subprocess.Popen(
            self.command(name, *overrides, recipe=recipe),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=ROOT,
            env=os.environ | environment,
        )

    def train(self, name: str, *overrides: str, recipe: str = "vrft_aug", **environment) -> Path:
        """The run folder after the run ended well; a run that is done already takes seconds."""
        begun = time.monotonic()
        code = self.start(name, *overrides, recipe=recipe, **environment).wait(timeout=1800)
        assert code == 0, (self.runs / f"{name}.out").read_text()[-4000:]
        print(f"\n{name}: {time.monotonic() - begun:.0f} s", flush=True)
        return self.runs / name

    @staticmethod
    def results(folder: Path) -> dict[str, dict]:
        """{model: evaluation} of a run."""
        return {e["model"]: e for e in json.loads((folder / "results.json").read_text())["evaluations"]}

    @staticmethod
    def wall_s(folder: Path) -> float:
        """Seconds of all stages of a run, each in its last attempt."""
        return sum(s["wall_s"] for s in json.loads((folder / "manifest.json").read_text())["stages"].values())


@pytest.fixture(scope="session")
def accept() -> Acceptance:
    return Acceptance()


@pytest.fixture(scope="session")
def figures() -> Path:
    """Folder of the committed figures."""
    folder = ROOT / "benchmarks"
    folder.mkdir(exist_ok=True)
    return folder
