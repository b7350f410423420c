"""R_phi at the tiny scale: three seeds, a control that sees no image, and the same scores by vLLM."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.accept, pytest.mark.timeout(3600)]
SEEDS = (1, 2, 3)
STAGES = "conf.stages=[prepare,reward_model]"


@pytest.fixture(scope="module")
def trained(accept):
    """{seed: run folder} of R_phi as the demo trains it."""
    return {s: accept.train(f"medgr2/r_phi-{s}", STAGES, f"conf.seed={s}", recipe="medgr2") for s in SEEDS}


@pytest.fixture(scope="module")
def blind(accept):
    """{seed: run folder} of R_phi trained on grey pictures: what the texts alone give away."""
    return {
        s: accept.train(
            f"medgr2/r_phi-grey-{s}",
            STAGES,
            f"conf.seed={s}",
            "conf.reward_training.images=grey",
            recipe="medgr2",
        )
        for s in SEEDS
    }


def calibration(folder):
    return json.loads((folder / "reward_model" / "calibration.json").read_text())


def seconds(folder):
    return json.loads(
        (folder / "checkpoints" / "reward_model" / "huggingface" / "reward_model.json").read_text()
    )["seconds"]


@pytest.mark.parametrize("seed", SEEDS)
def test_it_ranks_held_out_responses_and_looks_at_the_picture(trained, seed):
    found = calibration(trained[seed])
    assert found["spearman"] >= 0.9
    assert found["in_order"], found["kinds"]
    swapped = found["swapped"]
    assert swapped["drop"] >= 3 and swapped["low"] > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_without_pictures_it_ranks_worse(trained, blind, seed):
    assert calibration(blind[seed])["grey_spearman"] < calibration(trained[seed])["spearman"] - 0.2


@pytest.mark.parametrize("seed", SEEDS)
def test_it_takes_less_than_two_minutes(trained, seed):
    assert seconds(trained[seed]) < 120


def test_vllm_gives_the_same_scores(trained, tmp_path):
    folder = trained[1]
    request = json.loads((folder / "reward_model" / "scored.request.json").read_text())
    asked = tmp_path / "request.json"
    asked.write_text(json.dumps({**request, "output": str(tmp_path / "scores.jsonl")}))
    from medical_rl.engine.host.environment import stage_environment

    environment = stage_environment(
        {"device": "cpu", "threads": 2, "kv_cache_gib": 1}, "accept", "score", str(tmp_path / "m.jsonl")
    )
    subprocess.run(
        [sys.executable, "-m", "medical_rl.engine.vllm.classify", str(asked)],
        check=True,
        env=environment,
        timeout=600,
    )
    scores = [[json.loads(line)["score"] for line in path.read_text().splitlines()]
              for path in (folder / "reward_model" / "scored.jsonl", tmp_path / "scores.jsonl")]  # fmt: skip
    assert len(scores[0]) == len(scores[1]) > 500
    assert max(abs(a - b) for a, b in zip(*scores, strict=True)) < 1e-4


def test_the_figures_are_kept(trained, blind, figures):
    lines = [
        "# R_phi at the tiny scale",
        "",
        "MedGR2's reward model on graded **phantom** responses (drawn by code; nothing here speaks of patients): 100 held-out rows, four grades each.",
        "A perfect R_phi would reach a Spearman of 0.968: four grades are tied. `grey` was trained on the same texts with grey pictures. Two cores, no GPU.",
        "Probes are texts of kinds it was not trained on; the gap is in grades, small is exploitable. Written by `make accept`.",
        "",
        "| seed | Spearman | grey | MAE | mean of 10 / 6 / 0 / -6 | fall with another picture [95 %] | weakest probe | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for seed in SEEDS:
        found, swapped = calibration(trained[seed]), calibration(trained[seed])["swapped"]
        means = " / ".join(
            f"{found['kinds'][k]['mean']:.1f}" for k in ("original", "synonym", "deletion", "irrelevant")
        )
        gaps = {k: g["gap"] for k, g in found["probe_gaps"].items() if k != "unseen_wording"}
        weakest = min(gaps, key=gaps.get)
        lines.append(
            f"| {seed} | {found['spearman']:.3f} | {calibration(blind[seed])['grey_spearman']:.3f} | {found['mae']:.2f} | {means} | "
            f"{swapped['drop']:.1f} [{swapped['low']:.1f}, {swapped['high']:.1f}] | {weakest} {gaps[weakest]:.1f} | {seconds(trained[seed]):.0f} |"
        )
    (figures / "reward_model.md").write_text("\n".join(lines) + "\n")
