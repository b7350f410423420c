"""Terms that ask someone: the judge's consistency, the reward model's score; and the rule in the judge's place."""

import asyncio
import dataclasses
from types import SimpleNamespace

import pytest

from medical_rl.errors import RewardFailed, UserError
from medical_rl.parsing.response import parse
from medical_rl.rewards.mix import Mix
from medical_rl.rewards.terms.consistency import consistency, lexical_consistency
from medical_rl.rewards.terms.learned import learned
from medical_rl.sample import Sample

ITEM = Sample(
    "1", "test", "Is there an effusion?", "yes_no", "no", concepts=("effusion", "lung"), images=(b"a", b"b")
)
RIGHT = "<think>The angles are sharp, no effusion.</think><answer>no</answer>"


class Judge:
    def __init__(self, verdict):
        self.verdict, self.asked = verdict, []

    async def consistency(self, **asked):
        self.asked.append(asked)
        if self.verdict is None:
            raise RewardFailed("down")
        return SimpleNamespace(verdict=self.verdict)


def judged(text, verdict, **parameters):
    return asyncio.run(consistency(parse(text), ITEM, judge=Judge(verdict), **parameters))


def test_consistency_is_1_or_minus_a_half():
    assert judged(RIGHT, "sound") == 1.0
    assert judged(RIGHT, "unsound") == judged(RIGHT, "unclear") == -0.5  # "otherwise"


def test_the_public_codes_values_are_parameters():
    public = {"sound": 1.2, "unsound": -0.2, "unclear": 0.2, "missing": 0.0}
    assert [judged(RIGHT, v, **public) for v in ("sound", "unsound", "unclear")] == [1.2, -0.2, 0.2]
    assert judged("no tags", "sound", **public) == 0.0


def test_nobody_is_asked_about_a_response_without_thought_or_answer():
    for text in ("", "<answer>no</answer>", "<think>x</think>", "<think></think><answer>no</answer>"):
        judge = Judge("sound")
        assert asyncio.run(consistency(parse(text), ITEM, judge=judge)) == -0.5
        assert judge.asked == []


def test_the_judge_sees_the_question_the_thought_the_answer_and_the_first_image():
    judge = Judge("sound")
    asyncio.run(consistency(parse(RIGHT), ITEM, judge=judge))
    expected = {
        "question": ITEM.question,
        "thought": "The angles are sharp, no effusion.",
        "answer": "no",
        "images": (b"a",),
        "restricted": False,
        "source": "test",
    }
    assert judge.asked == [expected]


class RewardModel:
    def __init__(self, value):
        self.value = value

    async def score(self, sample, text):
        return self.value


@pytest.mark.parametrize(
    "value, raw, unit",
    [
        (10, 10.0, 1.0),
        (-6, -6.0, 0.0),
        (2, 2.0, 0.5),
        (99, 10.0, 1.0),
        (-99, -6.0, 0.0),
    ],  # unit: (r + 6) / 16
)
def test_the_learned_reward_is_clipped_to_its_grades(value, raw, unit):
    model = RewardModel(value)
    assert asyncio.run(learned(parse("x"), ITEM, reward_model=model)) == raw
    assert asyncio.run(learned(parse("x"), ITEM, reward_model=model, scale="unit")) == unit


def test_a_response_without_an_answer_is_asked_about_as_in_the_paper_unless_told_to_be_low():
    model = RewardModel(3.0)
    for text in ("x", "<answer></answer>"):
        assert asyncio.run(learned(parse(text), ITEM, reward_model=model)) == 3.0
        assert asyncio.run(learned(parse(text), ITEM, reward_model=model, no_answer="low")) == -6.0
        assert (
            asyncio.run(learned(parse(text), ITEM, reward_model=model, no_answer="low", scale="unit")) == 0.0
        )
    right = parse(f"<think>t</think><answer>{ITEM.answer}</answer>")
    assert asyncio.run(learned(right, ITEM, reward_model=model, no_answer="low")) == 3.0
    with pytest.raises(UserError, match="no_answer"):
        asyncio.run(learned(right, ITEM, reward_model=model, no_answer="zero"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_reward_model_without_a_finite_number_is_a_failure(value):
    with pytest.raises(RewardFailed):
        asyncio.run(learned(parse("x"), ITEM, reward_model=RewardModel(value)))


def test_the_reward_model_is_not_asked_about_a_row_without_an_image():
    with pytest.raises(RewardFailed, match="no image"):
        asyncio.run(learned(parse("x"), dataclasses.replace(ITEM, images=()), reward_model=RewardModel(1.0)))


def test_whatever_a_judges_client_raises_is_a_failure_and_not_the_end_of_the_group():
    class Lost:
        async def consistency(self, **asked):
            raise ConnectionResetError("the actor is gone")

    result = total(Mix(MEDFACT, "normalised_sum"), RIGHT, judge=Lost())
    assert result["consistency/failed"] == 1.0 and result["consistency/budget"] == 0.0


def total(mix, text, item=ITEM, **services):
    mix.services = services
    return asyncio.run(mix.score(text, item))


def test_medgr2s_total_is_equation_3():
    mix = Mix({"learned": {"weight": 0.8}, "accuracy": {"weight": 0.2}})
    # 0.8 * 7.5 + 0.2 * 1 = 6.2; with a wrong answer 0.8 * 7.5 = 6.0; on the unit scale 0.8 * 13.5/16 + 0.2 = 0.875
    assert total(mix, RIGHT, reward_model=RewardModel(7.5))["score"] == pytest.approx(6.2)
    wrong = RIGHT.replace(">no<", ">yes<")
    assert total(mix, wrong, reward_model=RewardModel(7.5))["score"] == pytest.approx(6.0)
    unit = Mix({"learned": {"weight": 0.8, "scale": "unit"}, "accuracy": {"weight": 0.2}})
    assert total(unit, RIGHT, reward_model=RewardModel(7.5))["score"] == pytest.approx(0.875)


MEDFACT = {
    "accuracy": {"weight": 1.0},
    "format": {"weight": 1.0, "form": "tagged"},
    "fact": {"weight": 1.0},
    "consistency": {"weight": 1.0},
}


def test_the_medfact_total_is_the_normalised_sum_of_four():
    mix = Mix(MEDFACT, "normalised_sum")
    # accuracy 1, format 1, fact 0.2 ("effusion" of two concepts), consistency 1; largest 1 + 1 + 0.4 + 1 = 3.4
    assert total(mix, RIGHT, judge=Judge("sound"))["score"] == pytest.approx(3.2 / 3.4)
    # wrong, no format, no concept, unsound: -0.5 / 3.4
    assert total(mix, "<think>so</think><answer>yes</answer>!", judge=Judge("unsound"))[
        "score"
    ] == pytest.approx(-0.5 / 3.4)


def test_the_public_medfact_total_is_a_plain_sum_that_finds_no_in_abnormal():
    public = Mix(
        {
            "accuracy": {"weight": 1.0, "match": "substring"},
            "format": {"weight": 1.0, "form": "tagged_public"},
            "fact": {"weight": 1.0, "match": "substring"},
            "consistency": {"weight": 1.0, "sound": 1.2, "unsound": -0.2, "unclear": 0.2, "missing": 0.0},
        }
    )
    # the gold "no" is found in "abnormal" (1), the form matches (1), "effusion" and "lung" are found (0.4), unsound (-0.2)
    text = "<think>abnormal lungs, effusion</think><answer>yes</answer>"
    assert total(public, text, judge=Judge("unsound"))["score"] == pytest.approx(2.2)
    # without tags: accuracy 1 by substring, format 0, fact 0.2, consistency 0
    assert total(public, "not an effusion", judge=Judge("sound"))["score"] == pytest.approx(1.2)


def test_a_failed_judge_leaves_the_others_of_the_mix_and_their_maximum():
    mix = Mix(MEDFACT, "normalised_sum")
    heard = []
    mix.on_failed = lambda name, sample, error: heard.append((name, sample.id, str(error)))
    result = total(mix, RIGHT, judge=Judge(None))
    assert result["consistency/failed"] == 1.0 and heard == [("consistency", "1", "down")]
    assert result["score"] == pytest.approx(2.2 / 2.4)  # (1 + 1 + 0.2) / (1 + 1 + 0.4)
    assert tuple(result) == mix.keys


def test_one_failed_judgement_of_an_average_sample_changes_no_advantage():
    mix = Mix(MEDFACT, "normalised_sum")
    sound, unsound = (total(mix, RIGHT, judge=Judge(v)) for v in ("sound", "unsound"))
    middle = dict(sound) | {"consistency": 0.25, "consistency/weighted": 0.25}  # the mean of 1 and -0.5
    middle["score"] = mix.total(middle)
    lost = total(mix, RIGHT, judge=Judge(None))

    def advantages(results):
        totals = [r["score"] for r in mix.with_group_means(results, ["a"] * len(results))]
        mean = sum(totals) / len(totals)
        deviation = (sum((t - mean) ** 2 for t in totals) / (len(totals) - 1)) ** 0.5
        return [(t - mean) / deviation for t in totals]

    assert advantages([sound, unsound, lost]) == pytest.approx(advantages([sound, unsound, middle]))


SHAPES = Sample("1", "test", "?", "label", "disc", choices=("disc", "ring"))


@pytest.mark.parametrize(
    "text, item, expected",
    [
        ("<think>Not a ring but a disc.</think>\\boxed{disc}", SHAPES, 1.0),
        ("<think>A disc? No, a ring.</think>\\boxed{disc}", SHAPES, -0.5),
        ("<think>I cannot tell.</think>\\boxed{disc}", SHAPES, -0.5),  # no claim
        ("\\boxed{disc}", SHAPES, -0.5),  # no thought
        ("<think>Clear lungs. There is no effusion.</think><answer>no</answer>", ITEM, 1.0),
        ("<think>Clear lungs. There is no effusion.</think><answer>yes</answer>", ITEM, -0.5),
        ("<think>Blunted angle. An effusion.</think><answer>yes</answer>", ITEM, 1.0),
        ("<think>size 12 px, grade 3</think>\\boxed{3}", Sample("1", "t", "?", "grade", "3"), 1.0),
        ("<think>grade 3, or rather 2</think>\\boxed{3}", Sample("1", "t", "?", "grade", "3"), -0.5),
        (
            "<think>[9, 9, 10, 10] no, [0, 0, 4, 4]</think>\\boxed{[0, 0, 4, 4]}",
            Sample("1", "t", "?", "box", "[0,0,4,4]"),
            1.0,
        ),
    ],
)
def test_the_rule_compares_the_last_claim_of_the_thought_with_the_answer(text, item, expected):
    assert lexical_consistency(parse(text), item) == expected


def test_a_mix_without_the_one_it_asks_says_what_to_choose():
    from medical_rl.rewards.load import connect

    with pytest.raises(UserError, match="medfact_r1_offline"):
        connect(Mix(MEDFACT), {"judge": None})
    with pytest.raises(UserError, match="conf/reward_model=endpoint"):
        connect(Mix({"learned": {"weight": 1.0}}), {})


def test_the_judge_and_the_rule_see_all_that_was_thought():
    judge = Judge("sound")
    text = "<think>The angles are blunted.</think><think>So it is.</think><answer>no</answer>"
    asyncio.run(consistency(parse(text), ITEM, judge=judge))
    assert judge.asked[0]["thought"] == "The angles are blunted.\nSo it is."
    assert parse("<think>a</think> b </think> c \\boxed{no}").thought == "a\nb"
