"""`conf=medgr2` end to end: every step of a round is done by the real thing, and what each leaves fits what the next takes."""

import json

import pytest

from medical_rl.data.parquet import read_samples
from medical_rl.loop.generators.triplets import duplicate_key
from medical_rl.reward_model.graded import read_graded

pytestmark = [pytest.mark.engine, pytest.mark.timeout(2700)]
STEPS = ["generate", "score", "select", "warm_start", "rl", "preferences", "reward_model", "distil"]


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_step_is_a_stage_of_its_own_in_algorithm_1s_order(run):
    stages = json.loads((run.path / "manifest.json").read_text())["stages"]
    assert list(stages) == ["prepare", "reward_model", *(f"round_1/{s}" for s in STEPS), "best", "evaluate"]
    assert {stage["status"] for stage in stages.values()} == {"done"}


def test_every_candidate_has_a_score_and_the_better_half_is_kept(run):
    scores = {row["id"]: row["score"] for row in lines(run.path / "round_1" / "scores.jsonl")}
    candidates = [s.id for s in read_samples(run.path / "round_1" / "candidates.parquet", with_images=False)]
    assert set(scores) == set(candidates)
    kept = {row["id"] for row in json.loads((run.path / "round_1" / "kept.json").read_text())["kept"]}
    assert len(kept) == -(-len(candidates) // 2)  # rounded up
    assert min(scores[id_] for id_ in kept) >= max(scores[id_] for id_ in set(candidates) - kept)


def test_d_gen_is_d_seed_and_what_was_kept_without_repeats(run):
    rows = list(read_samples(run.path / "round_1" / "train.parquet"))
    generated = [s for s in rows if s.meta.get("generated")]
    assert len(rows) - len(generated) == 24
    assert len({duplicate_key(s) for s in rows}) == len(rows)
    added = json.loads((run.path / "round_1" / "kept.json").read_text())["added"]
    assert sorted(s.id for s in generated) == added


def test_no_picture_that_r_phi_learned_from_is_asked_about(run):
    learned = {row.sample.images[0] for row in read_graded(run.path / "reward_model" / "graded.parquet")}
    asked = {s.images[0] for s in read_samples(run.path / "round_1" / "candidates.parquet")}
    assert learned and asked and not learned & asked


def test_in_grpo_the_served_r_phi_gives_what_plain_transformers_give(run):
    """The reward of a rollout is R_phi of the very text, with the very image: vLLM's server against HF."""
    from medical_rl.reward_model.score import score

    rows = {s.id: s for s in read_samples(run.path / "round_1" / "train.parquet")}
    by_prompt = {}
    for sample in rows.values():
        by_prompt.setdefault((sample.question, sample.answer), []).append(sample)
    rollouts = lines(run.path / "rollouts" / "round_1" / "rl" / "1.jsonl")
    assert len(rollouts) == 16 and not any(r["learned/failed"] for r in rollouts)
    model = run.path / "checkpoints" / "reward_model" / "huggingface"
    checked = 0
    for rollout in rollouts:
        # a rollout names its question and answer; of rows that share both, one has the image that was shown
        same = next(
            found
            for (question, answer), found in by_prompt.items()
            if question in rollout["input"] and answer == rollout["gts"]
        )
        scores = list(score(model, [(sample, rollout["output"]) for sample in same]))
        clipped = [max(-6.0, min(10.0, s)) for s in scores]
        assert min(abs(c - rollout["learned"]) for c in clipped) < 1e-3
        checked += 1
    assert checked == 16


def test_r_phi_is_trained_again_on_graded_answers_of_the_policy_and_replayed_grades(run):
    made_by = [row.made_by for row in read_graded(run.path / "round_1" / "reward_model" / "graded.parquet")]
    policy = [kind for kind in made_by if kind.startswith("policy_")]
    assert len(policy) == 16  # 8 prompts, 2 answers each
    assert len(made_by) - len(policy) == 16  # half of all is replayed
    before, after = (
        run.path / "checkpoints" / s / "huggingface" / "model.safetensors"
        for s in ("reward_model", "round_1/reward_model")
    )
    assert before.read_bytes() != after.read_bytes()
    calibration = json.loads((run.path / "round_1" / "reward_model" / "calibration.json").read_text())
    assert calibration["drift"]["shift"] != 0


def test_the_table_of_the_loop_is_printed_and_kept(run):
    outcome = json.loads((run.path / "loop.json").read_text())
    (row,) = outcome["rounds"]
    assert outcome["stopped"] is None and outcome["best_round"] == 1
    assert {
        "generated",
        "kept",
        "errors_generated",
        "spearman",
        "accuracy_before",
        "accuracy",
        "learned",
    } <= {k for k, v in row.items() if v is not None}
    assert "The loop, by round" in run.printed and f"{row['spearman']:.3f}" in run.printed


def test_results_name_the_round_and_the_best_model_is_kept(run):
    results = json.loads((run.path / "results.json").read_text())
    found = [(row["model"], row["round"]) for row in results["evaluations"]]
    assert found == [("base", None), ("warm_start", 1), ("rl", 1)]
    outcome = json.loads((run.path / "loop.json").read_text())
    (row,) = outcome["rounds"]
    assert outcome["best"] == (
        "round_1/rl" if row["accuracy"] >= row["accuracy_before"] else "round_1/warm_start"
    )
    kept, trained = (
        run.path / "checkpoints" / s / "huggingface" / "model.safetensors" for s in ("best", outcome["best"])
    )
    assert kept.read_bytes() == trained.read_bytes()


def test_nothing_of_a_server_or_ray_is_left_running(run):
    from medical_rl.run.folder import RunFolder
    from medical_rl.run.processes import processes_of_run

    assert processes_of_run(RunFolder(run.path).id) == []


def test_the_same_command_does_nothing_the_second_time(run, again):
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*.safetensors")}
    printed = again(run)
    assert printed.count("done before, skipped") == 4 + len(STEPS)
    assert {p: p.stat().st_mtime_ns for p in run.path.rglob("*.safetensors")} == before


def test_another_tau_runs_the_filter_anew_and_not_the_generator(run, again):
    printed = again(
        run,
        "conf.loop.filter.quantile=0.4",
        "conf.loop.steps=[generate,score,select]",
        "conf.stages=[prepare,reward_model,loop]",
    )
    assert "round_1/score (scores by the reward model): done before" in printed
    assert "round_1/select is invalid now" in printed


def test_every_stage_declares_the_settings_that_it_takes_and_no_other(run, settings_read):
    undeclared, unread = settings_read.undeclared_and_unread(run.path)
    assert undeclared == {}
    assert unread == {}
