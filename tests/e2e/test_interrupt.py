"""Ctrl-C and SIGTERM: exit code 130, nothing left running, what was done kept."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from medical_rl.run.folder import RunFolder

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def marked(run_id: str) -> list[str]:
    """Command lines of the processes that carry the run's mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MEDICAL_RL_RUN") == run_id:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_nothing_behind_and_says_how_to_go_on(start_run, tmp_path, sign):
    folder = tmp_path / "run"
    process = start_run(folder, "conf.stages=[prepare,warm_start]")
    log = folder / "logs" / "warm_start.log"
    deadline = time.monotonic() + 300
    while not log.exists() or not marked(RunFolder(folder).id):
        assert process.poll() is None and time.monotonic() < deadline, Path(f"{folder}.out").read_text()
        time.sleep(0.2)
    os.kill(process.pid, sign)
    assert process.wait(timeout=60) == 130
    assert marked(RunFolder(folder).id) == []
    assert "the same command goes on from there" in Path(f"{folder}.out").read_text()
    stages = RunFolder(folder).manifest()["stages"]
    assert (stages["prepare"]["status"], stages["warm_start"]["status"]) == ("done", "interrupted")
