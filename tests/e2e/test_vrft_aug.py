"""`conf=vrft_aug` end to end on the real engine, in one shared run that was killed and resumed."""

import json
import subprocess
import sys

import pytest

from medical_rl.run.folder import RunFolder
from medical_rl.run.progress import read_metrics

pytestmark = [pytest.mark.engine, pytest.mark.timeout(2700)]


def metrics(run):
    return read_metrics(run.path / "metrics.jsonl", "rl")


def test_the_table_shows_base_warm_start_and_rl(run):
    results = json.loads((run.path / "results.json").read_text())
    assert (results["recipe"], results["scale"], results["seed"]) == ("vrft_aug", "tiny", 1)
    rows = {e["model"]: e for e in results["evaluations"]}
    assert list(rows) == ["base", "warm_start", "rl"]
    for row in rows.values():
        assert (row["dataset"], row["split"], row["n"], row["round"]) == ("phantom_grading", "test", 30, None)
        assert {"accuracy", "balanced_accuracy", "majority_rate", "macro_f1", "unparsed", "mae"} <= set(
            row["metrics"]
        )
        assert row["metrics"]["majority_rate"] == pytest.approx(0.2)
    assert rows["base"]["metrics"]["unparsed"] > 0.9, "random weights do not answer in the asked form"
    assert rows["warm_start"]["metrics"]["unparsed"] < 0.2, "the warm start teaches the form"
    assert "wrong on purpose" in run.second and "Not for clinical use" in run.second
    assert "wrong on purpose" in (run.path / "results.md").read_text()


def test_the_accuracy_in_the_results_is_that_of_the_predictions(run):
    results = json.loads((run.path / "results.json").read_text())
    for row in results["evaluations"]:
        lines = (run.path / "predictions" / f"{row['model']}.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        right = sum(r["pred"] is not None and r["pred"] == r["gold"] for r in records)
        assert row["metrics"]["accuracy"] == pytest.approx(right / len(records))


def test_a_killed_run_resumes_where_it_had_saved(run):
    assert run.killed_at >= 3
    assert "prepare (data preparation): done before, skipped" in run.second
    assert "warm_start (supervised warm start): done before, skipped" in run.second
    resumed = (run.path / "logs" / "rl.log").read_text().rsplit("Started a local Ray instance", 1)[1]
    assert f"checkpoints/rl/global_step_{run.killed_at}" in resumed
    steps = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    order = [r["step"] for r in steps if r["stage"] == "rl" and "reward/total" in r]
    restarts = [b for a, b in zip(order, order[1:], strict=False) if b <= a]
    assert all(b > 1 for b in restarts), "no step before the saved ones runs twice"
    assert order[-1] == 6 and set(order) == set(range(1, 7))
    assert RunFolder(run.path).manifest()["stages"]["rl"]["attempts"] == 2


def test_rollouts_have_the_weights_of_the_actor_at_every_step(run):
    # The control, with the synchronisation broken on purpose, is test_weight_sync.py.
    for step, found in metrics(run).items():
        if step:
            assert found["training/rollout_actor_probs_pearson_corr"] > 0.999, step


def test_every_reward_component_is_in_the_metrics_of_every_step(run):
    for step, found in metrics(run).items():
        if not step:
            continue
        for term in ("outcome", "format"):
            assert {f"reward/{term}/mean", f"reward/{term}/weighted", f"reward/{term}/failed"} <= set(found)
        assert found["reward/total"] == pytest.approx(
            found["reward/outcome/weighted"] + found["reward/format/weighted"], abs=1e-5
        )
        assert found["reward/total"] == pytest.approx(found["critic/rewards/mean"], abs=1e-4)
        assert "response_length/mean" in found
    assert any(found.get("reward/outcome/mean", 0) > 0 for found in metrics(run).values()), (
        "some answers are right"
    )


def test_every_rollout_is_kept_with_its_components(run):
    for step in range(1, 7):
        rows = [
            json.loads(line)
            for line in (run.path / "rollouts" / "rl" / f"{step}.jsonl").read_text().splitlines()
        ]
        assert len(rows) == 16
        for row in rows:
            assert {
                "input",
                "output",
                "gts",
                "score",
                "outcome",
                "format",
                "format/weighted",
                "outcome/failed",
                "acc",
            } <= set(row)
            assert row["score"] == pytest.approx(row["outcome/weighted"] + row["format/weighted"], abs=1e-5)


def test_validation_chose_the_checkpoint_and_only_a_few_are_kept(run):
    best = json.loads((run.path / "checkpoints" / "rl" / "best.json").read_text())
    validated = {s: m["validation/score"] for s, m in metrics(run).items() if "validation/score" in m}
    # verl validates before it trains, so the step that a resume starts from is validated (and saved) too
    assert set(validated) >= {2, 4, 6} and set(validated) <= {0, 2, 4, 6, run.killed_at}
    assert best["score"] == pytest.approx(max(v for s, v in validated.items() if s))
    assert validated[best["step"]] == pytest.approx(best["score"])
    kept = sorted(p.name for p in (run.path / "checkpoints" / "rl").glob("global_step_*"))
    assert kept == ["global_step_5", "global_step_6"], "those from before the kill are gone too"


def test_the_trained_model_loads_with_plain_transformers(run):
    code = """
import sys
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
model, processor = AutoModelForImageTextToText.from_pretrained(sys.argv[1]), AutoProcessor.from_pretrained(sys.argv[1])
turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Grade?"}]}]
text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
inputs = processor(text=[text], images=[Image.new("RGB", (56, 56))], return_tensors="pt")
print(type(model).__name__, model.generate(**inputs, max_new_tokens=4).shape[0])
"""
    folder = run.path / "checkpoints" / "rl" / "huggingface"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.split() == ["Qwen2_5_VLForConditionalGeneration", "1"], done.stderr
    card = (folder / "README.md").read_text()
    assert "Not for clinical use" in card and "phantom images" in card


def test_the_rl_model_is_not_the_warm_start(run):
    manifest = RunFolder(run.path).manifest()["stages"]
    assert (
        manifest["rl"]["outputs"]["model"]["sha256"] != manifest["warm_start"]["outputs"]["model"]["sha256"]
    )


def test_predict_answers_with_the_trained_model(run, tmp_path):
    from medical_rl.data.parquet import read_samples

    sample = next(iter(read_samples(run.path / "data" / "test.parquet")))
    image = tmp_path / "x.png"
    image.write_bytes(sample.images[0])
    asked = [
        sys.executable,
        "-m",
        "medical_rl.predict",
        "--model",
        str(run.path),
        "--image",
        str(image),
        "--max-new-tokens",
        "24",
    ]
    done = subprocess.run(
        [*asked, "--question", sample.question], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "answer:" in done.stdout and "Not for clinical use" in done.stdout


def test_tensorboard_the_curve_and_the_manifest_are_there(run):
    assert (run.path / "curve.png").stat().st_size > 10_000
    assert list((run.path / "tensorboard" / "rl").glob("events*"))
    manifest = RunFolder(run.path).manifest()
    for stage in ("prepare", "warm_start", "rl", "evaluate"):
        entry = manifest["stages"][stage]
        assert entry["status"] == "done" and entry["wall_s"] > 0 and entry["versions"]["verl"] == "0.9.1"
        assert all(len(o["sha256"]) == 64 for o in entry["outputs"].values())


def test_the_same_command_again_does_nothing(run, again):
    before = (run.path / "results.json").stat().st_mtime_ns
    text = again(run.path)
    assert text.count("done before, skipped") == 4
    assert (run.path / "results.json").stat().st_mtime_ns == before


def test_no_secret_of_the_environment_is_in_anything_the_run_wrote(run):
    assert "canary" not in run.first + run.second
    written = [p for p in run.path.rglob("*") if p.is_file() and p.suffix not in (".pt", ".safetensors")]
    assert len(written) > 50
    assert [str(p) for p in written if b"sk-canary" in p.read_bytes()] == []


def test_every_stage_declares_the_settings_that_it_takes_and_no_other(run, settings_read):
    undeclared, unread = settings_read.undeclared_and_unread(run.path)
    assert undeclared == {}
    assert unread == {}
