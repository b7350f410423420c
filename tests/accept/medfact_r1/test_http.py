"""Labeller, concepts and consistency judge behind a real HTTP server, killed and started again in the middle, and the run with it."""

import collections
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.accept, pytest.mark.timeout(3600)]
SMALL = (
    "conf.data.params.sizes={train: 320, val: 12, test: 20}",
    # the server guesses, so no number of reports can pass
    "conf.calibration.on_empty=best_k_without_guarantee",
    "conf.calibration.candidates=[1,4]",
    "conf.warm_start.epochs=2",
    "data.train_batch_size=4",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "trainer.total_training_steps=4",
    "trainer.save_freq=1",
    "trainer.test_freq=2",
)


class Server:
    """The answering server on a port of its own; its log outlives it."""

    def __init__(self, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log_file = folder / "answered.txt"
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def start(self):
        script = Path(__file__).with_name("answering_server.py")
        self.process = subprocess.Popen([sys.executable, str(script), str(self.port), str(self.log_file)])

    def kill(self):
        self.process.kill()
        self.process.wait()

    def answered(self, role):
        lines = self.log_file.read_text().split("\n") if self.log_file.exists() else []
        return [line.split()[1] for line in lines if line.startswith(f"{role} ")]


def until(met, process, printed, seconds=900):
    deadline = time.monotonic() + seconds
    while not met():
        assert process.poll() is None and time.monotonic() < deadline, printed.read_text()[-3000:]
        time.sleep(0.05)


def test_a_run_survives_the_death_of_its_server_and_asks_nothing_twice(accept, tmp_path):
    server, name = Server(tmp_path), "medfact_r1/http"
    at = [f"endpoint.base_url={server.url}", "endpoint.model=fake", "endpoint.api_key_env=null", "limits.concurrency=4"]
    overrides = [
        *SMALL, "conf/labeller=openai", "conf/rewards=medfact_r1", "conf/judge=openai", "conf.pseudo_label.concepts=judge",
        *(f"conf.labeller.service.{one}" for one in at), *(f"conf.judge.{one}" for one in at), "conf.judge.max_attempts=12",
    ]  # fmt: skip
    folder, printed = accept.runs / name, accept.runs / f"{name}.out"
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    server.start()
    process = accept.start(name, *overrides, recipe="medfact_r1")
    until(lambda: len(server.answered("labeller")) >= 60, process, printed)
    server.kill()  # in the middle of the calibration's questions
    time.sleep(2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    server.start()
    process = accept.start(name, *overrides, recipe="medfact_r1")
    until(lambda: len(server.answered("judge")) >= 10, process, printed)
    server.kill()  # in the middle of GRPO; the attempts at a question outlast it
    time.sleep(5)
    server.start()
    assert process.wait(timeout=1500) == 0, printed.read_text()[-4000:]
    server.kill()
    for role in ("labeller", "concepts", "judge"):
        asked = collections.Counter(server.answered(role))
        assert asked, role
        # a reply that the server had logged when it was killed may not have arrived: at most one a connection
        assert sum(count - 1 for count in asked.values()) <= 4, role
    stages = json.loads((folder / "manifest.json").read_text())["stages"]
    assert {one["status"] for one in stages.values()} == {"done"}
    labelled = json.loads((folder / "manifest.json").read_text())["stages"]["pseudo_label"]["figures"]
    assert not labelled["dropped"], labelled  # nothing lost
    assert not stages["rl"]["judge"]["failures"]
