"""A GRPO that was killed at an epoch's end ends as a whole one does: the same steps, the same rows at each."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from medical_rl.run.progress import read_metrics

pytestmark = [pytest.mark.engine, pytest.mark.timeout(2400)]

# 12 rows in batches of 4: three steps an epoch, two epochs; the kill comes once the first epoch is saved.
SMALL = (
    "conf.stages=[prepare,warm_start,rl]", "data.train_max_samples=12", "trainer.total_training_steps=6",
    "trainer.save_freq=3", "trainer.test_freq=6", "trainer.val_before_train=false",
)  # fmt: skip


def rows_by_step(folder) -> dict[int, list[str]]:
    """The gold answers of each step's rollouts, sorted: as far as a rollout names its row."""
    rows = {}
    for file in (folder / "rollouts" / "rl").glob("*.jsonl"):
        rows[int(file.stem)] = sorted(json.loads(line)["gts"] for line in file.read_text().splitlines())
    return rows


def test_a_grpo_killed_at_an_epochs_end_takes_the_steps_and_rows_of_a_whole_one(
    prepared_copy, start_run, tmp_path
):
    whole, killed = prepared_copy(tmp_path / "whole"), prepared_copy(tmp_path / "killed")
    assert start_run(whole, *SMALL).wait(timeout=600) == 0, Path(f"{whole}.out").read_text()
    process, deadline = start_run(killed, *SMALL), time.monotonic() + 600
    saved = killed / "checkpoints" / "rl" / "latest_checkpointed_iteration.txt"
    while not (saved.exists() and saved.read_text().strip()):
        assert process.poll() is None and time.monotonic() < deadline, Path(f"{killed}.out").read_text()
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert saved.read_text().strip() == "3", "it was killed too late"
    assert start_run(killed, *SMALL).wait(timeout=600) == 0, Path(f"{killed}.out").read_text()
    steps = [sorted(s for s in read_metrics(f / "metrics.jsonl", "rl") if s) for f in (whole, killed)]
    assert steps == [[1, 2, 3, 4, 5, 6]] * 2
    assert rows_by_step(killed) == rows_by_step(whole)
    assert len(rows_by_step(whole)) == 6
