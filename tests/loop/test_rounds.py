"""The loop's logic over steps that only note that they were asked for."""

import pytest

from medical_rl.errors import UserError
from medical_rl.loop.check import check_loop
from medical_rl.loop.plan import (
    STEPS,
    needs,
    policy_before,
    policy_stages,
    reward_model_before,
    round_stage,
    split_stage,
    steps,
)
from medical_rl.loop.rounds import best_policy, reason_to_stop, run_rounds

LOOP = {
    "rounds": 3,
    "steps": ["generate", "score", "select", "warm_start", "rl", "preferences", "reward_model"],
    "evolve_last": False,
    "start": "previous",
    "stop": {"accuracy_drop": 0.05, "drift": 0.25},
    "filter": {"by": "tau", "tau": 5.0},
    "preferences": {"replay": 0.5},
}


GENERATOR = {
    "name": "template", "kind": "template", "images": 10, "per_image": 1, "error_rate": 0.3, "wordings": 1, "question_types": None,
    "errors": {"wrong": 1.0, "unsound": 0.0, "contradicted": 0.0},
}  # fmt: skip


def figures(accuracies, learned=None):
    """A function that gives round k the k-th accuracy, and R_phi's gain where one is given."""

    def of(round_):
        gained = (learned or {}).get(round_, 0.0)
        accuracy = accuracies[round_ - 1]
        return {"accuracy": accuracy, "accuracy_before": accuracy, "learned_before": 0.0, "learned": gained}

    return of


def test_a_round_does_every_step_in_algorithm_1s_order():
    asked = []
    run_rounds({**LOOP, "rounds": 1, "evolve_last": True}, asked.append, figures([0.5]))
    assert asked == [f"round_1/{step}" for step in LOOP["steps"]]


def test_the_last_round_does_not_train_what_nobody_will_use():
    asked = []
    run_rounds({**LOOP, "rounds": 2}, asked.append, figures([0.5, 0.6]))
    assert (
        "round_1/reward_model" in asked and "round_2/reward_model" not in asked and asked[-1] == "round_2/rl"
    )


def test_a_fall_of_the_accuracy_ends_the_loop_before_anything_is_spent_on_evolving():
    asked = []
    outcome = run_rounds(LOOP, asked.append, figures([0.8, 0.7, 0.9]))
    # 0.8 - 0.7 = 0.1 > 0.05
    assert "fell in round 2" in outcome["stopped"] and outcome["best_round"] == 1
    assert asked[-1] == "round_2/rl"


def test_a_later_round_that_keeps_nothing_new_ends_the_loop_before_it_is_trained():
    asked = []
    added = {1: 20, 2: 0}
    outcome = run_rounds(LOOP, asked.append, lambda r: {"accuracy": 0.5, "added": added[r]})
    assert "kept nothing new in round 2" in outcome["stopped"] and outcome["best_round"] == 1
    assert asked[-1] == "round_2/select" and len(outcome["rounds"]) == 1


def test_a_small_fall_does_not_end_it():
    outcome = run_rounds(LOOP, lambda _: None, figures([0.8, 0.76, 0.79]))
    assert outcome["stopped"] is None and len(outcome["rounds"]) == 3 and outcome["best_round"] == 1


def test_reward_hacking_ends_it_though_the_accuracy_stands():
    # R_phi +6 grades = 0.375 of its span of 16, the accuracy +0
    outcome = run_rounds(LOOP, lambda _: None, figures([0.8, 0.8, 0.8], {2: 6.0}))
    assert "drift apart in round 2" in outcome["stopped"] and len(outcome["rounds"]) == 2


def test_r_phi_that_rises_with_the_accuracy_is_no_hacking():
    row = {"round": 1, "accuracy": 0.9, "accuracy_before": 0.5, "learned": 6.0, "learned_before": 0.0}
    # 0.375 - 0.4 < 0.25
    assert reason_to_stop([row], LOOP["stop"]) is None


@pytest.mark.parametrize("missing", ["accuracy", "learned_before"])
def test_what_is_not_known_ends_nothing(missing):
    row = {
        "round": 1,
        "accuracy": 0.1,
        "accuracy_before": 0.9,
        "learned": 9.0,
        "learned_before": 0.0,
        missing: None,
    }
    assert reason_to_stop([row], {"accuracy_drop": 0.0, "drift": 0.0}) is None


def test_of_equal_rounds_the_later_is_kept_and_without_figures_the_last():
    both = ["warm_start", "rl"]
    assert best_policy([{"round": 1, "accuracy": 0.8}, {"round": 2, "accuracy": 0.8}], both) == (2, "rl")
    assert best_policy([{"round": 1, "accuracy": None}, {"round": 2, "accuracy": None}], both) == (2, "rl")


def test_a_warm_start_that_grpo_made_worse_is_the_one_kept():
    def seen(round_):  # the demo's own figures, rounded: GRPO lost in round 1, won nothing in round 2
        return {
            1: {"accuracy_before": 0.92, "accuracy": 0.88},
            2: {"accuracy_before": 0.99, "accuracy": 0.98},
        }[round_]

    outcome = run_rounds({**LOOP, "rounds": 2}, lambda _: None, seen)
    assert outcome["best"] == "round_2/warm_start" and outcome["best_round"] == 2


def test_where_rl_alone_trains_what_it_began_from_is_no_round_of_the_loop():
    steps = [s for s in LOOP["steps"] if s != "warm_start"]
    outcome = run_rounds(
        {**LOOP, "steps": steps, "rounds": 1},
        lambda _: None,
        lambda _: {"accuracy_before": 0.9, "accuracy": 0.8},
    )
    assert outcome["best"] == "round_1/rl"


def test_a_failing_step_ends_the_loop_at_once():
    asked = []

    def do(stage):
        asked.append(stage)
        if stage == "round_2/score":
            raise UserError("no score")

    with pytest.raises(UserError):
        run_rounds(LOOP, do, figures([0.5, 0.5, 0.5]))
    assert asked[-1] == "round_2/score"


def test_each_round_scores_with_the_r_phi_that_the_round_before_trained():
    assert [reward_model_before(r, LOOP) for r in (1, 2, 3)] == [
        "reward_model",
        "round_1/reward_model",
        "round_2/reward_model",
    ]
    assert reward_model_before(3, {**LOOP, "steps": ["generate", "score", "select", "rl"]}) == "reward_model"


def test_a_rounds_policy_goes_on_from_the_round_before_unless_told_to_begin_anew():
    assert policy_before("round_1/warm_start", LOOP) is None
    assert policy_before("round_2/warm_start", LOOP) == "round_1/rl"
    assert policy_before("round_2/rl", LOOP) == "round_2/warm_start"
    assert policy_before("round_2/warm_start", {**LOOP, "start": "base"}) is None
    assert (
        policy_before("round_2/rl", {**LOOP, "steps": ["generate", "score", "select", "rl"]}) == "round_1/rl"
    )


def test_what_a_step_needs_comes_before_it():
    loop = {**LOOP, "steps": list(STEPS), "evolve_last": True}
    order = ["prepare", "reward_model"] + [round_stage(r, s) for r in (1, 2, 3) for s in steps(r, loop)]
    for stage in order[2:]:
        for need in needs(stage, loop):
            assert order.index(need) < order.index(stage), (stage, need)


def test_the_policies_of_a_loop_are_listed_in_order():
    assert policy_stages({**LOOP, "rounds": 2}) == [
        "round_1/warm_start",
        "round_1/rl",
        "round_2/warm_start",
        "round_2/rl",
    ]
    assert split_stage("round_12/rl") == (12, "rl")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": ["score", "select"]}, "needs generate"),
        ({"steps": ["generate", "select", "score"]}, "not repeated or moved"),
        ({"steps": ["generate", "scores"]}, "scores"),
        ({"steps": ["generate", "score", "select", "preferences"]}, "neither warm_start nor rl"),
        ({"rounds": 0}, "at least one round"),
        ({"start": "best"}, "best.*previous|previous.*best"),
        ({"preferences": {"replay": 0.1}}, "at least 0.3"),
        ({"filter": {"by": "top_k", "k": None}}, "needs conf.loop.filter.k"),
        ({"filter": {"by": "quantile", "quantile": 1.0}}, "no share"),
    ],
)
def test_a_loop_that_could_not_work_is_refused_with_what_to_write(change, said):
    with pytest.raises(UserError, match=said):
        check_loop({**LOOP, **change}, GENERATOR, {"loss": "mse"})


def test_the_loop_as_it_is_shipped_passes():
    check_loop(LOOP, GENERATOR, {"loss": "mse"})


def test_a_free_scale_and_a_threshold_do_not_go_together():
    with pytest.raises(UserError, match="tau has no meaning"):
        check_loop(LOOP, GENERATOR, {"loss": "pairwise"})


def test_a_generators_missing_key_is_said_before_anything_is_trained(monkeypatch):
    from omegaconf import OmegaConf

    from medical_rl.config.compose import compose

    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    conf = compose(["conf=medgr2", "conf/scale=tiny", "conf/engine=cpu", "conf/generator=gemini"]).conf
    with pytest.raises(UserError, match="GEMINI_API_KEY"):
        check_loop(LOOP, OmegaConf.to_container(conf.generator, resolve=True), {"loss": "mse"})
