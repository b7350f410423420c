"""The shipped mixes as config gives them: overridable term by term, safe on any string, one key set."""

import asyncio
import math
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from medical_rl.config.compose import choices, compose
from medical_rl.data.prepare.gold import check_rewards_on_gold
from medical_rl.errors import BudgetMet, RewardFailed, UserError
from medical_rl.rewards import REWARDS
from medical_rl.rewards.failures import FailureLog, FailureMonitor, TooManyFailures
from medical_rl.rewards.mix import Mix
from medical_rl.sample import Sample

SHIPPED = {
    "accuracy_format",
    "medfact_r1",
    "medfact_r1_offline",
    "medfact_r1_reference",
    "medgr2",
    "vrft_aug",
    "vrft_detection",
    "vrft_mfrs",
    "vrft_recite",
    "vrft_unrecite",
}
FULL = {
    "question": "?",
    "images": (b"",),
    "concepts": ("disc", "edge"),
    "knowledge": "a round disc with a sharp edge",
    "size": (56, 56),
}
SAMPLES = {
    "grade": Sample("1", "t", kind="grade", answer="3", choices=tuple("01234"), **FULL),
    "label": Sample("1", "t", kind="label", answer="disc", choices=("disc", "ring"), **FULL),
    "yes_no": Sample("1", "t", kind="yes_no", answer="no", **FULL),
    "box": Sample("1", "t", kind="box", answer="[1, 2, 30, 40]", **FULL),
}
KIND = {"vrft_mfrs": "grade", "vrft_detection": "box"}


class Judge:
    async def consistency(self, **asked):
        return SimpleNamespace(verdict="sound")


class RewardModel:
    async def score(self, sample, text):
        return 10.0 if sample.answer in text else -6.0


def shipped(name, *overrides):
    config = compose(
        ["conf=vrft_aug", f"conf/rewards={name}", "conf/scale=tiny", "conf/engine=cpu", *overrides]
    )
    mix = Mix.from_config(OmegaConf.to_container(config.conf.rewards, resolve=True))
    mix.services = {"judge": Judge(), "reward_model": RewardModel()}
    return mix


def score(mix, text, kind="label"):
    return asyncio.run(mix.score(text, SAMPLES[kind]))


def test_the_shipped_mixes_are_these():
    assert set(choices("rewards")) == SHIPPED


# (text, kind, total worked out by hand)
WORKED = {
    "accuracy_format": ("<think>a</think> \\boxed{disc}", "label", 2.0),
    "vrft_aug": (
        "<think>a</think> \\boxed{2}",
        "grade",
        0.325,
    ),  # 0.9 * MFRS 1/4 + 0.1: phantoms of grades take MFRS
    "vrft_mfrs": ("<think>a</think> \\boxed{1}", "grade", 0.15625),  # 0.9 * 1/16 + 0.1
    "vrft_recite": (
        "<think>a round disc with a sharp edge</think> \\boxed{3}",
        "grade",
        1 + 0.2 * 0.5**0.25,
    ),  # 0.9 + 0.1 + 0.2 * BLEU of 8 words of which the last is the answer: (7/8 * 6/7 * 5/6 * 4/5) ** (1/4)
    "vrft_unrecite": (
        "<think>a round disc with a sharp edge</think> \\boxed{3}",
        "grade",
        0.0,
    ),  # 0.9 + 0.1 - 1
    "vrft_detection": ("<think>a</think><answer>[1, 2, 30, 41]</answer>", "box", 1.0),  # IoU 38/39: 0.9 + 0.1
    "medfact_r1": (
        "<think>a disc</think><answer>no</answer>",
        "yes_no",
        3.2 / 3.4,
    ),  # (1+1+0.2+1) / (1+1+0.4+1)
    "medfact_r1_offline": ("<think>no disc</think><answer>no</answer>", "yes_no", 3.2 / 3.4),
    "medfact_r1_reference": ("<think>a disc</think><answer>no</answer>", "yes_no", 3.4),  # 1 + 1 + 0.2 + 1.2
    "medgr2": ("<think>a</think><answer>disc</answer>", "label", 8.2),  # 0.8 * 10 + 0.2
}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_each_shipped_mix_gives_the_total_worked_out_by_hand(name):
    text, kind, expected = WORKED[name]
    assert score(shipped(name), text, kind)["score"] == pytest.approx(expected)


def test_a_mix_is_changed_on_the_command_line_term_by_term():
    assert (
        shipped("vrft_recite", "conf.rewards.terms.recitation.delta=-2")
        .terms["recitation"]
        .parameters["delta"]
        == -2
    )
    added = shipped("vrft_aug", "+conf.rewards.terms.fact.weight=0.2")
    assert added.weights == {"outcome": 0.9, "format": 0.1, "fact": 0.2}
    assert list(shipped("vrft_aug", "~conf.rewards.terms.format").weights) == ["outcome"]
    mine = shipped(
        "vrft_aug", "+conf.rewards.terms.mine={fn: 'medical_rl.rewards.terms.accuracy:accuracy', weight: 0.5}"
    )
    assert score(mine, "<think>a</think> \\boxed{3}", "grade")["score"] == pytest.approx(1.5)


RANGES = {
    "accuracy": (0, 1),
    "format": (0, 1),
    "outcome": (0, 1),
    "mfrs": (0, 1),
    "detection": (0, 1),
    "fact": (0, 0.4),
    "recitation": (-1, 1),
    "consistency": (-0.5, 1.2),
    "lexical_consistency": (-0.5, 1),
    "learned": (-6, 10),
}
PIECES = st.sampled_from(
    ["<think>", "</think>", "<answer>", "</answer>", "\\boxed{", "}", "disc", "[1,2,30,40]", "3", "no", "yes"]
)
MIXES = {name: shipped(name) for name in sorted(SHIPPED)}


@settings(deadline=None, max_examples=60)
@given(st.lists(PIECES | st.text(max_size=6), max_size=16).map("".join), st.sampled_from(sorted(SHIPPED)))
def test_any_string_scores_within_the_documented_ranges_under_one_key_set(text, name):
    kind = KIND.get(name, "grade" if name.startswith("vrft") else "yes_no")
    result = score(MIXES[name], text, kind)
    assert tuple(result) == MIXES[name].keys
    assert all(isinstance(v, float) and math.isfinite(v) for v in result.values())
    for term in MIXES[name].terms:
        low, high = RANGES[term]
        assert low <= result[term] <= high, term
        assert result[f"{term}/failed"] == 0.0


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"terms": {"acuracy": {"weight": 1}}}, "Did you mean 'accuracy'"),
        ({"terms": {"accuracy": {}}}, "no weight"),
        ({"terms": {"accuracy": {"weight": 1, "thresold": 1}}}, "thresold"),
        ({"terms": {"mfrs": {"weight": 1, "weights": 3}}}, "mfrs"),
        ({"terms": {"learned": {"weight": 1, "scale": "log"}}}, "raw, unit"),
        ({"terms": {"recitation": {"weight": 1, "smoothing": "method99"}}}, "method1"),
        ({"terms": {"detection": {"weight": 1, "compare": "=>"}}}, ">="),
        ({"terms": {"accuracy": {"weight": 1}}, "on_failure": "skip"}, "group_mean"),
        ({"terms": {}}, "no terms"),
        ({"terms": None}, "no terms"),
        ({"terms": {"accuracy": {"weight": 1}}, "combine": "mean"}, "normalised_sum"),
        ({"terms": {"accuracy": {"weight": None}}}, "finite number"),
        ({"terms": {"accuracy": {"weight": "abc"}}}, "finite number"),
        ({"terms": {"accuracy": {"weight": float("nan")}}}, "finite number"),
        ({"terms": {"accuracy": {"weight": 1}}, "max_failure_rate": "x"}, "finite number"),
        ({"terms": {"accuracy": {"weight": 1}}, "max_failure_rate": 2}, "no share"),
        ({"terms": {"consistency": {"weight": 1, "unsound": "abc"}}}, "unsound.*finite number"),
        ({"terms": {"detection": {"weight": 1, "continuous": "no"}}}, "true or false"),
        ({"terms": {"recitation": {"weight": 1, "order": 0}}}, "at least one word"),
        ({"terms": {"recitation": {"weight": 1, "smoothing": "method6"}}}, "method5"),
        (
            {"terms": {"accuracy": {"weight": 1}, "format": {"weight": -2}}, "combine": "normalised_sum"},
            "negative weight of format",
        ),
        ({"terms": {"acc": {"fn": "math:sqrt", "signature": "verl", "weight": 1}}}, "cannot be named 'acc'"),
    ],
)
def test_a_mix_that_cannot_work_is_refused_before_any_training(settings, said):
    with pytest.raises(UserError, match=said):
        Mix.from_config(settings)


def test_a_built_in_term_without_a_maximum_is_told_where_to_declare_it(monkeypatch):
    def brevity(response, sample):
        return 1.0

    monkeypatch.setitem(REWARDS, "brevity", brevity)
    monkeypatch.setattr(brevity, "__module__", "medical_rl.rewards.terms.brevity")
    settings = {"terms": {"brevity": {"weight": 1.0}}, "combine": "normalised_sum"}
    with pytest.raises(UserError, match="brevity.maximum = <number> in medical_rl/rewards/terms/brevity.py"):
        Mix.from_config(settings)
    brevity.maximum = 2.0
    assert Mix.from_config(settings).terms["brevity"].maximum(SAMPLES["label"]) == 2.0
    users = {"fn": "medical_rl.rewards.terms.accuracy:accuracy", "weight": 1.0}
    with pytest.raises(UserError, match="not known of mine: add max: <number> to the term"):
        Mix.from_config({"terms": {"mine": users}, "combine": "normalised_sum"})


def failing(rate, term="consistency", n=40, budget=0.0):
    return [
        {
            f"{term}/failed": float(i < rate * n),
            f"{term}/budget": budget * (i < rate * n),
            "accuracy/failed": 0.0,
        }
        for i in range(n)
    ]


@pytest.fixture
def mix():
    return Mix({"accuracy": {"weight": 1.0}, "consistency": {"weight": 1.0}}, max_failure_rate=0.2)


def test_too_many_failures_end_the_run_with_the_last_reason(mix, tmp_path):
    log = FailureLog.of_run(tmp_path)
    for reason in ("429 Too Many Requests", "time-out after 30 s"):
        log.add("consistency", SAMPLES["label"], RewardFailed(reason))
    FailureMonitor(mix, log).check(failing(0.2))  # exactly the rate is allowed
    with pytest.raises(TooManyFailures, match="30%.*time-out after 30 s"):
        FailureMonitor(mix, log).check(failing(0.3))


def test_one_garbled_judgement_of_a_small_step_does_not_end_the_run_and_an_outage_does(mix, tmp_path):
    watch = FailureMonitor(mix, FailureLog.of_run(tmp_path))
    for _ in range(8):  # steps of 4: one failure in eight steps
        watch.check(failing(0.25 if _ == 3 else 0.0, n=4))
    watch = FailureMonitor(mix, FailureLog.of_run(tmp_path))
    watch.check(failing(1.0, n=4))  # 4 of at least 32 looked at: 12.5 %
    with pytest.raises(TooManyFailures):
        watch.check(failing(1.0, n=4))  # 8 of 32


def test_the_failures_of_one_term_are_not_counted_for_another(mix, tmp_path):
    with pytest.raises(TooManyFailures, match="accuracy"):
        FailureMonitor(mix, FailureLog.of_run(tmp_path)).check(
            [
                {"accuracy/failed": 1.0, "consistency/failed": 0.0, "consistency/budget": 0.0}
                for _ in range(40)
            ]
        )


def test_a_met_budget_pauses_the_run_or_lets_it_go_on_by_config(mix, tmp_path):
    log = FailureLog.of_run(tmp_path)
    log.add("consistency", SAMPLES["label"], BudgetMet("budget", "all 100 requests are spent"))
    with pytest.raises(TooManyFailures, match="pauses.*100 requests.*conf.judge.budget"):
        FailureMonitor(mix, log, on_budget="pause").check(failing(0.1, budget=1.0))
    FailureMonitor(mix, log, on_budget="continue").check(failing(1.0, budget=1.0))
    with pytest.raises(
        TooManyFailures, match="50%"
    ):  # a met budget does not excuse failures of another cause
        FailureMonitor(mix, log, on_budget="continue").check(failing(0.5, budget=0.0))


def test_a_validation_is_judged_by_verls_means(mix, tmp_path):
    watch = FailureMonitor(mix, FailureLog.of_run(tmp_path))
    watch.check_validation({"val-aux/set/consistency/failed/mean@1": 0.2, "val-core/set/acc/mean@1": 0.5})
    with pytest.raises(TooManyFailures, match="validation"):
        watch.check_validation({"val-aux/set/consistency/failed/mean@1": 0.3})


GROUP = ["a", "a", "a", "b", "b"]


def lost(*flags):
    return [{"accuracy/failed": 0.0, "consistency/failed": float(flag)} for flag in flags]


def test_drop_sample_takes_out_a_sample_whose_term_others_of_its_group_have():
    mix = Mix({"accuracy": {"weight": 1.0}, "consistency": {"weight": 1.0}}, on_failure="drop_sample")
    assert mix.dropped_samples(lost(1, 0, 0, 0, 0), GROUP) == [True, False, False, False, False]
    # the whole group has no judgement: the term is left out, nobody is dropped
    assert mix.dropped_samples(lost(1, 1, 1, 0, 0), GROUP) == [False] * 5
    # one of two is lost: the other has nobody to be compared with
    assert mix.dropped_samples(lost(0, 0, 0, 1, 0), GROUP) == [False, False, False, True, True]
    assert (
        Mix({"accuracy": {"weight": 1.0}, "consistency": {"weight": 1.0}}).dropped_samples(
            lost(1, 0, 0, 0, 0), GROUP
        )
        == [False] * 5
    )


PROMPT = {"name": "tagged", "target": "<think>so</think><answer>{{ answer }}</answer>"}


def test_a_mix_that_does_not_pay_its_own_gold_answers_is_refused_where_rl_is_planned():
    # every reward would be 0 for ever, in silence
    boxed = {"terms": {"accuracy": {"weight": 1}, "format": {"weight": 1, "form": "boxed"}}}
    with pytest.raises(UserError, match="earns 0 of 1 from the reward term 'format'.*'tagged'"):
        check_rewards_on_gold([SAMPLES["label"]], boxed, PROMPT)
    assert check_rewards_on_gold([SAMPLES["label"]], boxed, PROMPT, whole=False) == (1, 1.0)
    tagged = {"terms": {"accuracy": {"weight": 1}, "format": {"weight": 1, "form": "tagged"}}}
    assert check_rewards_on_gold([SAMPLES["label"]], tagged, PROMPT) == (1, 2.0)


def test_a_term_that_fails_on_every_gold_answer_is_broken_and_one_that_fails_now_and_then_is_not(tmp_path):
    (tmp_path / "r.py").write_text(
        "def always(response, sample):\n    raise OSError('no licence')\n"
        "def once(response, sample):\n    if sample.kind == 'grade': raise OSError('busy')\n    return 1.0\n"
    )
    rows = [SAMPLES["label"], SAMPLES["grade"]]
    with pytest.raises(UserError, match="every row tried.*no licence"):
        check_rewards_on_gold(
            rows, {"terms": {"mine": {"fn": f"{tmp_path}/r.py:always", "weight": 1}}}, PROMPT
        )
    assert check_rewards_on_gold(
        rows, {"terms": {"mine": {"fn": f"{tmp_path}/r.py:once", "weight": 1}}}, PROMPT
    ) == (2, 0.5)


def test_a_term_that_is_false_is_left_out_and_one_that_is_empty_still_needs_a_weight():
    chosen = [
        "conf=vrft_aug",
        "conf/scale=tiny",
        "conf/engine=cpu",
        "conf.rewards.terms.format=false",
        "+conf.rewards.terms.fact=false",
    ]
    rewards = OmegaConf.to_container(compose(chosen).conf.rewards, resolve=True)
    assert list(Mix.from_config(rewards).terms) == ["outcome"]
    with pytest.raises(UserError, match="no weight"):
        Mix.from_config({"terms": {"accuracy": None}})


INSIDE, BARE = "<think>It is a disc. <answer>disc</answer></think>", "I see a disc.\nThe answer is disc."


def test_rewards_are_strict_unless_the_lenient_reading_is_chosen():
    for overrides, expected in ((), [0.0, 0.0]), (("conf.rewards.reading=lenient",), [1.0, 1.0]):
        mix = shipped("accuracy_format", *overrides)
        results = [score(mix, text) for text in (INSIDE, BARE)]
        assert [result["accuracy"] for result in results] == expected
        assert [result["acc"] for result in results] == [0.0, 0.0], "what is measured stays strict"
        assert [result["format"] for result in results] == [0.0, 0.0], "and so does the form"


def test_the_lenient_reading_pays_no_wrong_answer():
    mix = shipped("accuracy_format", "conf.rewards.reading=lenient")
    for text in (
        "<think>a disc? <answer>ring</answer></think>",
        "A disc.\nNo, a ring.",
        "",
        "<think>disc",
        "disc or ring",
    ):
        assert score(mix, text)["accuracy"] == 0.0, text
    assert score(mix, "<think>a <answer>ring</answer></think> \\boxed{disc}")["accuracy"] == 1.0, (
        "as the strict one"
    )


def test_an_unknown_reading_is_refused_with_the_two_there_are():
    with pytest.raises(
        UserError, match=r"conf.rewards.reading.*'lenent'.*Did you mean 'lenient'.*lenient, strict"
    ):
        shipped("accuracy_format", "conf.rewards.reading=lenent")
