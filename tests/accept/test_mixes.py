"""Every shipped mix, GDPO and a failing term of a user's, each two steps of GRPO on the real engine; a judge behind generation."""

import json
import statistics
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from medical_rl.run.progress import read_metrics
from tests.judges.fake_endpoint import FakeEndpoint

pytestmark = [pytest.mark.accept, pytest.mark.timeout(2400)]
SMALL = (
    "conf.data.params.sizes={warm_start: 512, train: 64, val: 16, test: 30}",
    "conf.data.params.label_noise=0",
    "conf.warm_start.epochs=3",
    "data.max_response_length=40",
    "actor_rollout_ref.actor.ppo_mini_batch_size=4",
)
# {form: what its data and prompt are}
FORMS = {
    "grades": ("conf/data=phantom_grading", "conf/prompt=brief"),
    "boxes": ("conf/data=phantom_localisation", "conf/prompt=brief_tagged"),
    "questions": ("conf/data=phantom_questions", "conf/prompt=brief_tagged"),
}
MIXES = {
    "vrft_aug": "grades",
    "vrft_mfrs": "grades",
    "vrft_recite": "grades",
    "vrft_unrecite": "grades",
    "accuracy_format": "grades",
    "vrft_detection": "boxes",
    "medfact_r1": "questions",
    "medfact_r1_offline": "questions",
    "medfact_r1_reference": "questions",
    "medgr2": "questions",
}


class Classify(BaseHTTPRequestHandler):
    """A stand-in for a served reward model: a score in [-6, 10] that the response's text alone decides."""

    asked: list[tuple[bool, str]] = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        user, assistant = body["messages"]
        seen = any(
            p["type"] == "image_url" and p["image_url"]["url"].startswith("data:image/")
            for p in user["content"]
        )
        self.asked.append((seen, assistant["content"]))
        score = zlib.crc32(assistant["content"].encode()) % 17 - 6.0
        reply = json.dumps(
            {"data": [{"index": 0, "label": None, "probs": [score], "num_classes": 1}]}
        ).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def classify():
    """Base address of the stand-in reward model."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Classify)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def endpoint():
    with FakeEndpoint() as running:
        yield running


def judged(endpoint) -> tuple[str, ...]:
    """Overrides for a judge at the fake endpoint, asked anew in each run."""
    return (
        "conf/judge=local",
        f"conf.judge.endpoint.base_url={endpoint.url}",
        "conf.judge.endpoint.model=fake",
    )


@pytest.fixture(scope="module")
def warm(accept):
    """A function giving the warm-started model of a form, trained once."""

    def model(form: str) -> tuple[str, ...]:
        small = (*accept.two_steps, *SMALL, *FORMS[form])
        folder = accept.train(f"mix-warm-{form}", *small, "conf.stages=[prepare,warm_start]")
        path = folder / "checkpoints" / "warm_start" / "huggingface"
        return (*small, f"conf.model.path={path}", "conf/warm_start=none", "conf.stages=[prepare,rl]")

    return model


def rollouts(folder, step):
    return [
        json.loads(line) for line in (folder / "rollouts" / "rl" / f"{step}.jsonl").read_text().splitlines()
    ]


def check_components(folder, terms, dropped=None):
    """Every term is in the metrics and the rollouts of both steps, and the totals are what the terms make."""
    found = read_metrics(folder / "metrics.jsonl", "rl")
    for step in (1, 2):
        for term in terms:
            assert {f"reward/{term}/mean", f"reward/{term}/weighted", f"reward/{term}/failed"} <= set(
                found[step]
            ), term
        rows = rollouts(folder, step)
        assert len(rows) == 16 and all({"score", "acc", "advantage", *terms} <= set(row) for row in rows)
        kept = [r["score"] for r in rows if r not in (dropped or {}).get(step, ())]
        assert found[step]["reward/total"] == pytest.approx(statistics.fmean(kept), abs=1e-4)
    return found


@pytest.mark.parametrize("mix", MIXES)
def test_the_mix_runs_in_a_real_grpo_and_its_components_are_seen(accept, warm, endpoint, classify, mix):
    from medical_rl.rewards.load import load_settings
    from medical_rl.rewards.mix import Mix

    terms = list(Mix.from_config(load_settings([f"conf/rewards={mix}"])["rewards"]).terms)
    asks = judged(endpoint) if "consistency" in terms else ()
    asks += (
        ("conf/reward_model=endpoint", f"conf.reward_model.base_url={classify}") if "learned" in terms else ()
    )
    # so small a model does not hit by more than half: any overlap is a hit here
    asks += ("conf.rewards.terms.detection.threshold=0.0",) if "detection" in terms else ()
    Classify.asked.clear()
    folder = accept.train(f"mix-{mix}", *warm(MIXES[mix]), f"conf/rewards={mix}", *asks)
    found = check_components(folder, terms)
    main = next(t for t in terms if t in ("outcome", "mfrs", "accuracy", "detection"))
    assert any(found[s][f"reward/{main}/mean"] > 0 for s in (1, 2)), "something is right"
    if "consistency" in terms:
        judge = json.loads((folder / "manifest.json").read_text())["stages"]["rl"]["judge"]
        assert judge["requests"] > 0 and judge["failures"] == {}
        assert found[1]["reward/consistency/failed"] == 0.0
    if "learned" in terms:
        if Classify.asked:  # not so where the run was done before
            assert all(seen for seen, _ in Classify.asked), "the reward model sees the image"
        assert all(r["learned"] == zlib.crc32(r["output"].encode()) % 17 - 6.0 for r in rollouts(folder, 1))


def test_gdpo_trains_on_the_v1_trainer(accept, warm):
    folder = accept.train(
        "mix-gdpo", *warm("questions"), "conf/rewards=medfact_r1_offline", "conf/algorithm=gdpo"
    )
    found = check_components(folder, ["accuracy", "format", "fact", "lexical_consistency"])
    for step in (1, 2):  # whitened over the batch's tokens
        assert found[step]["critic/advantages/mean"] == pytest.approx(0.0, abs=1e-3)
        assert found[step]["critic/advantages/max"] > 0 > found[step]["critic/advantages/min"]


@pytest.mark.parametrize("way", ["group_mean", "drop_sample"])
def test_a_term_that_fails_for_some_samples_does_not_stop_the_run(accept, warm, way, tmp_path):
    rewards = accept.runs / "failing.py"
    accept.runs.mkdir(parents=True, exist_ok=True)
    rewards.write_text(
        "import zlib\ndef flaky(response, sample):\n    draw = zlib.crc32((sample.id + response.text).encode())\n"
        "    if draw % 3 == 0: raise OSError('down')\n    return float(draw % 2)\n"
    )
    folder = accept.train(
        f"mix-failing-{way}", *warm("grades"), "conf/rewards=accuracy_format", f"conf.rewards.on_failure={way}",
        "conf.rewards.max_failure_rate=0.9", f"+conf.rewards.terms.flaky={{fn: '{rewards}:flaky', weight: 1.0}}",
    )  # fmt: skip
    dropped = {}
    for step in (1, 2):
        groups = {}
        for row in rollouts(folder, step):
            groups.setdefault(row["uid"].rsplit("_", 2)[0], []).append(row)
        assert any(r["flaky/failed"] for rows in groups.values() for r in rows), "some failed"
        dropped[step] = []
        for rows in groups.values():
            failed = [r for r in rows if r["flaky/failed"]]
            others = [r for r in rows if not r["flaky/failed"]]
            if way == "drop_sample" and others and failed:
                gone = rows if len(others) == 1 else failed
                assert all(r["advantage"] == 0.0 for r in gone), "who takes no part has no advantage"
                dropped[step] += gone
            elif others and failed:
                mean = statistics.fmean(r["flaky"] for r in others)
                for row in failed:
                    assert row["score"] == pytest.approx(row["accuracy"] + row["format"] + mean, abs=1e-4)
            kept = [r for r in rows if r not in dropped[step]]
            if kept:  # GRPO among those that are left: the advantages of a group sum to nothing
                assert sum(r["advantage"] for r in kept) == pytest.approx(0.0, abs=1e-3)
    found = check_components(folder, ["accuracy", "format"], dropped)
    assert 0 < max(found[s]["reward/flaky/failed"] for s in (1, 2)) < 1
    reasons = (folder / "logs" / "reward_failures.jsonl").read_text()
    assert "OSError: down" in reasons


def test_too_many_failures_stop_the_run_with_the_reason_and_the_command_resumes(accept, warm):
    switch = accept.runs / "outage"
    rewards = accept.runs / "outage.py"
    rewards.parent.mkdir(parents=True, exist_ok=True)
    rewards.write_text(
        "import pathlib\ndef f(response, sample):\n    import ray\n"
        f"    if pathlib.Path({str(switch)!r}).exists() and ray.is_initialized(): raise OSError('no route')\n"
        "    return 1.0\n"
    )
    chosen = (
        *warm("grades"),
        "conf/rewards=accuracy_format",
        f"+conf.rewards.terms.mine={{fn: '{rewards}:f', weight: 1.0}}",
    )
    folder = accept.runs / "mix-outage"
    if not (folder / "metrics.jsonl").exists() or 2 not in read_metrics(folder / "metrics.jsonl", "rl"):
        switch.write_text("")
        assert accept.start("mix-outage", *chosen).wait(timeout=1800) == 1
        said = (accept.runs / "mix-outage.out").read_text()
        assert "mine" in said and "no route" in said and "max_failure_rate" in said
        switch.unlink()
    accept.train("mix-outage", *chosen)
    assert {1, 2} <= set(read_metrics(folder / "metrics.jsonl", "rl"))


def test_a_judge_of_two_seconds_hides_behind_generation(accept, warm, endpoint, figures):
    stretched = (
        "conf/rewards=medfact_r1", "data.max_response_length=448", "actor_rollout_ref.rollout.ignore_eos=true",
        "data.train_batch_size=8", "actor_rollout_ref.rollout.n=8", "actor_rollout_ref.actor.ppo_mini_batch_size=8",
        "trainer.total_training_steps=3", "trainer.save_freq=3", "trainer.test_freq=3",
    )  # fmt: skip
    steps = {}
    for latency in (0.0, 2.0):
        name = f"mix-hidden-{latency:.0f}s"
        done = (accept.runs / name / "metrics.jsonl").exists()
        endpoint.program(latency_s=latency)
        folder = accept.train(name, *warm("questions"), *judged(endpoint), *stretched)
        found = read_metrics(folder / "metrics.jsonl", "rl")
        steps[latency] = [(found[s]["timing_s/gen"], found[s]["timing_s/step"]) for s in (2, 3)]
        judge = json.loads((folder / "manifest.json").read_text())["stages"]["rl"]["judge"]
        assert judge["requests"] >= 3 * 8, "each step asks about prompts that were never judged before"
        assert done or len(endpoint.log()["requests"]) >= 3 * 8
    generation = statistics.median(g for g, _ in steps[0.0])
    plain, slow = (statistics.median(t for _, t in steps[latency]) for latency in (0.0, 2.0))
    assert generation >= 10.0, f"generation took {generation:.1f} s: too short to hide anything behind"
    text = (
        "# A judge behind generation\n\nGRPO steps of the tiny model on CPU, responses stretched to 448 tokens, 64 a step; the MEDFACT-R1 mix "
        "with its judge at a local endpoint that answers after 0 s or after 2 s, every step on prompts not judged before. Means of steps "
        "2 and 3. `make accept` writes this file.\n\n| judge | generation and rewards | step |\n|---|---|---|\n"
        f"| 0 s | {generation:.1f} s | {plain:.1f} s |\n"
        f"| 2 s | {statistics.median(g for g, _ in steps[2.0]):.1f} s | {slow:.1f} s |\n\nThe judge adds {slow - plain:.1f} s to a step.\n"
    )
    (figures / "judge_hidden.md").write_text(text)
    assert slow - plain <= 2.5, text
