"""SIGKILL at every step boundary of round 1 and in the middle of SFT, GRPO and R_phi's training: the same command finishes."""

import json
import os
import signal
import time

import pytest

pytestmark = [pytest.mark.accept, pytest.mark.timeout(7200)]
SMALL = (
    "conf.data.params.sizes={train: 400, val: 24, test: 30}",
    "conf.reward_training.rows=200",
    "conf.reward_training.sft.steps=30",
    "conf.reward_training.fit.steps=60",
    "conf.reward_training.again.steps=20",
    "conf.reward_training.save_every=5",
    "conf.reward_training.held_out=20",
    "conf.generator.images=100",
    "conf.loop.rounds=1",
    "conf.loop.evolve_last=true",
    "conf.loop.filter={by: quantile, quantile: 0.5}",
    "conf.loop.preferences.rows=8",
    "data.train_batch_size=4",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.actor.ppo_mini_batch_size=2",
    "trainer.total_training_steps=6",
    "trainer.save_freq=1",
    "trainer.test_freq=2",
)
STEPS = ["generate", "score", "select", "warm_start", "rl", "preferences", "reward_model"]


def stages(folder):
    path = folder / "manifest.json"
    return json.loads(path.read_text())["stages"] if path.exists() else {}


def done(stage):
    return lambda folder: stages(folder).get(stage, {}).get("status") == "done"


def steps(stage, least):
    """True once `stage` has logged `least` steps."""

    def reached(folder):
        path = folder / "metrics.jsonl"
        mark = f'{{"stage": "{stage}",'
        return path.exists() and sum(line.startswith(mark) for line in path.read_text().splitlines()) >= least

    return reached


# In the order in which they come: the middle of R_phi's first training, each boundary, the middles of SFT and GRPO.
MOMENTS = [
    ("in reward_model", steps("reward_model", 5)),
    ("after reward_model", done("reward_model")),
    *((f"after {s}", done(f"round_1/{s}")) for s in STEPS[:3]),
    ("in warm_start", steps("round_1/warm_start", 4)),
    ("after warm_start", done("round_1/warm_start")),
    ("in rl", steps("round_1/rl", 3)),
    ("after rl", done("round_1/rl")),
    ("after preferences", done("round_1/preferences")),
    ("after the retraining", done("round_1/reward_model")),
]


def test_killed_at_every_boundary_it_finishes_with_the_same_kept_samples(accept):
    name = "medgr2/killed"
    folder, printed = accept.runs / name, accept.runs / f"{name}.out"
    whole = accept.train("medgr2/whole", *SMALL, recipe="medgr2")
    for moment, reached in MOMENTS:
        if reached(folder):
            continue  # a resumed `make accept`
        process = accept.start(name, *SMALL, recipe="medgr2")
        deadline = time.monotonic() + 900
        while not reached(folder):
            assert process.poll() is None, f"{moment}: it ended by itself\n{printed.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"{moment} never came\n{printed.read_text()[-3000:]}"
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(f"killed {moment}", flush=True)
    accept.train(name, *SMALL, recipe="medgr2")
    kept = [json.loads((f / "round_1" / "kept.json").read_text()) for f in (whole, folder)]
    assert [row["id"] for row in kept[0]["kept"]] == [row["id"] for row in kept[1]["kept"]]
    assert kept[0]["added"] == kept[1]["added"]
    # what had saved went on: a step of GRPO or of R_phi that was saved is not logged a second time
    for stage in ("reward_model", "round_1/rl"):
        logged = [
            r["step"]
            for r in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
            if r["stage"] == stage
        ]
        again = {s for s in logged if logged.count(s) > 2}
        assert not again, (stage, logged)
    assert all(s["attempts"] <= 3 for s in stages(folder).values())
