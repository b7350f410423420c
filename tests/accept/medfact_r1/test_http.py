"""Labeller, concepts and consistency judge behind a real HTTP server, killed and started again in the middle, and the run with it."""

import collections
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from servers import Small, Vllm  # noqa: E402

pytestmark = [pytest.mark.accept, pytest.mark.timeout(3600)]
SMALL = (
    "conf.data.params.sizes={train: 320, val: 12, test: 20}",
    # the server guesses, so no number of reports can pass
    "conf.calibration.on_empty=best_k_without_guarantee",
    "conf.calibration.candidates=[1,4]",
    # the judge is asked of answers in the right form only, so the form has to be learned
    "conf.labeller.thought=none",
    "conf.warm_start.epochs=16",
    "data.train_batch_size=4",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "trainer.total_training_steps=4",
    "trainer.save_freq=1",
    "trainer.test_freq=2",
)


def until(met, process, printed, seconds=900):
    deadline = time.monotonic() + seconds
    while not met():
        assert process.poll() is None and time.monotonic() < deadline, printed.read_text()[-3000:]
        time.sleep(0.05)


@pytest.mark.parametrize("kind", [Small, Vllm])
def test_a_run_survives_the_death_of_its_server_and_asks_nothing_twice(accept, tmp_path, kind):
    server, name = kind(tmp_path), f"medfact_r1/http-{kind.__name__.lower()}"
    folder, printed = accept.runs / name, accept.runs / f"{name}.out"
    subprocess.run(["rm", "-rf", str(folder), str(printed)], check=True)
    with server:
        run_with_two_deaths(accept, server, name, printed)
    for role in ("labeller", "concepts", "judge"):
        asked = collections.Counter(server.answered(role))
        assert asked, role
        # a reply that the server had logged when it was killed may not have arrived: at most one a connection
        assert sum(count - 1 for count in asked.values()) <= 4, role
    stages = json.loads((folder / "manifest.json").read_text())["stages"]
    assert {one["status"] for one in stages.values()} == {"done"}
    dropped = stages["pseudo_label"]["figures"]["dropped"]
    assert set(dropped) <= ({"abstained"} if kind is Vllm else set()), dropped  # nothing lost
    assert not stages["rl"]["judge"]["failures"]


def run_with_two_deaths(accept, server, name, printed):
    """Run the recipe to a good end although its server dies twice, the first time with the run."""
    at = [
        "endpoint.base_url=" + server.url,
        "endpoint.model=tiny",
        "endpoint.api_key_env=null",
        "limits.concurrency=4",
    ]
    overrides = [
        *SMALL, "conf/labeller=openai", "conf/rewards=medfact_r1", "conf/judge=openai", "conf.pseudo_label.concepts=judge",
        "conf.judge.max_attempts=12",
    ]  # fmt: skip
    for group in ("conf.labeller.service", "conf.judge"):
        overrides += [f"{group}.{one}" for one in at] + [f"++{group}.{one}" for one in server.extra]
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
