"""SIGKILL in each of the eight stages: the same command goes on, does nothing again that was done, and the labels are the same."""

import json
import os
import signal
import subprocess
import time

import pytest

pytestmark = [pytest.mark.accept, pytest.mark.timeout(3600)]
STAGES = ["prepare", "retrieve", "calibrate", "align", "pseudo_label", "warm_start", "rl", "evaluate"]
SMALL = (
    "conf.data.params.sizes={train: 400, val: 16, test: 40}",
    "conf.calibration.candidates=[1,8]",
    "conf.calibration.share=0.5",
    "conf.calibration.alpha=0.4",
    "conf.warm_start.epochs=4",
    "data.train_batch_size=4",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.actor.ppo_mini_batch_size=2",
    "trainer.total_training_steps=3",
    "trainer.save_freq=1",
    "trainer.test_freq=1",
)
# How far into a stage: the long ones past their start-up.
INTO_S = {"warm_start": 15, "rl": 60, "evaluate": 20}


def stages(folder):
    path = folder / "manifest.json"
    return json.loads(path.read_text())["stages"] if path.exists() else {}


def test_killed_in_every_stage_it_finishes_with_the_same_labels(accept):
    name = "medfact_r1/killed"
    folder, printed = accept.runs / name, accept.runs / f"{name}.out"
    subprocess.run(["rm", "-rf", str(folder), str(printed)], check=True)
    hit = [stage for stage in STAGES if killed_in(stage, accept, name, printed)]
    whole = accept.train(
        "medfact_r1/whole",
        *SMALL,
        f"conf.stages=[{','.join(STAGES[:5])}]",
        "conf/ablation=none",
        recipe="medfact_r1",
    )
    accept.train(name, *SMALL, recipe="medfact_r1")
    found = stages(folder)
    assert {name: entry["status"] for name, entry in found.items()} == dict.fromkeys(STAGES, "done")
    # a stage that was done when the next was killed is not begun again
    assert {name: entry["attempts"] for name, entry in found.items()} == {s: 1 + (s in hit) for s in STAGES}
    assert len(hit) >= 6, f"killed in {hit} only: the others were over too soon"
    for stage in ("prepare", "calibrate", "pseudo_label"):
        one, other = (
            {k: o["sha256"] for k, o in stages(run)[stage]["outputs"].items() if k != "report"}
            for run in (whole, folder)
        )
        assert one == other, stage


def killed_in(stage, accept, name, printed) -> bool:
    """True if the run's process group was killed while `stage` ran; False if that was over before it could be."""
    folder = accept.runs / name
    process = accept.start(name, *SMALL, recipe="medfact_r1")
    deadline = time.monotonic() + 900
    while (status := stages(folder).get(stage, {}).get("status")) not in ("running", "done"):
        assert process.poll() is None and time.monotonic() < deadline, (
            f"{stage}\n{printed.read_text()[-3000:]}"
        )
        time.sleep(0.02)
    time.sleep(INTO_S.get(stage, 0) if status == "running" else 0)
    status = stages(folder)[stage]["status"]
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    print(f"killed in {stage}: {status}", flush=True)
    return status == "running"
