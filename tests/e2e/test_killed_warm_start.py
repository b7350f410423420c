"""A warm start that was killed within its second epoch ends as an uninterrupted one does (verl#7401)."""

import json
import subprocess
import sys
import time

import psutil
import pytest

from medical_rl.run.progress import read_metrics

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

# 96 rows in batches of 16: six steps an epoch, saved at its end.
SMALL = (
    "conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", "conf.stages=[prepare,warm_start]", "conf.warm_start.epochs=2",
    "conf.warm_start.batch_size=16", "conf.data.params.sizes={warm_start: 96, train: 32, val: 16, test: 16}",
)  # fmt: skip


def start(folder) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "medical_rl.main", *SMALL, f"conf.run_dir={folder}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def kill_all(process) -> None:
    """SIGKILL to the run and every process below it: the trainer outlives its parent for a moment."""
    family = psutil.Process(process.pid).children(recursive=True)
    for member in [*family, process]:
        member.kill()
    psutil.wait_procs(family, timeout=30)
    process.wait()


def test_a_warm_start_killed_after_its_first_epoch_takes_the_second(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait(timeout=400) == 0
    process, deadline = start(killed), time.monotonic() + 400
    while max(read_metrics(killed / "metrics.jsonl", "warm_start"), default=0) < 7:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    kill_all(process)
    assert max(read_metrics(killed / "metrics.jsonl", "warm_start")) < 12, "it was killed too late"
    assert start(killed).wait(timeout=400) == 0
    runs = [read_metrics(folder / "metrics.jsonl", "warm_start") for folder in (whole, killed)]
    assert [sorted(run) for run in runs] == [list(range(1, 13))] * 2
    losses = [run[12]["val/loss"] for run in runs]
    assert losses[1] == pytest.approx(losses[0], rel=0.02), losses
    notes = [
        json.loads((folder / "manifest.json").read_text())["stages"]["warm_start"]["notes"]
        for folder in (whole, killed)
    ]
    assert "12 steps" in notes[0] and notes[0] == notes[1]
