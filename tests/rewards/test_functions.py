"""Functions of users as terms: four signatures, sync and async, by module and by file; what they raise is no score."""

import asyncio

import pytest

from medical_rl.errors import UserError
from medical_rl.rewards.mix import Mix
from medical_rl.sample import Sample

ITEM = Sample(
    "1", "demo", "Effusion?", "yes_no", "no", choices=("yes", "no"), split="train", meta={"view": "PA"}
)
TEXT = "<think>clear</think><answer>no</answer>"

FILE = """
import asyncio, math

def ours(response, sample, bonus=0.0):
    return float(response.answer == sample.answer) + bonus

async def ours_async(response, sample):
    await asyncio.sleep(0)
    return 0.5

def verl_float(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    assert data_source == "demo" and extra_info["view"] == "PA" and extra_info["question"] == "Effusion?"
    return float(ground_truth in solution_str) * kwargs.get("scale", 1.0)

def verl_dict(data_source, solution_str, ground_truth, extra_info=None):
    return {"score": 0.25, "acc": 1.0}

async def verl_async(data_source, solution_str, ground_truth, extra_info):
    return 0.75

def easyr1(reward_inputs, weight_of_format=0.1):
    return [{"overall": 1.0 if r["ground_truth"] in r["response"] else 0.0, "format": weight_of_format} for r in reward_inputs]

def trl(prompts, completions, answer, **kwargs):
    assert prompts == ["Effusion?"] and kwargs["kind"] == ["yes_no"]
    return [float(a in c) for a, c in zip(answer, completions)]

def trl_bare(completions):
    return [float(len(c)) for c in completions]

async def trl_async(completions, **kwargs):
    return [2.0]

def nothing(completions, **kwargs):
    return [None]

def not_a_number(response, sample):
    return math.nan

def infinite(response, sample):
    return math.inf

def broken(response, sample):
    raise KeyError("label")

def two(completions, **kwargs):
    return [1.0, 2.0]

def no_score(data_source, solution_str, ground_truth, extra_info=None):
    return {"reward": 1.0}

def strange(a, b):
    return 1.0

def lone(items):
    return [{"overall": 3.0}]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_rewards.py"
    path.write_text(FILE)
    return path


def run(fn, **settings):
    mix = Mix({"mine": {"fn": str(fn), "weight": 2.0, **settings}})
    return asyncio.run(mix.score(TEXT, ITEM))


@pytest.mark.parametrize(
    "name, expected",
    [
        ("ours", 1.0),
        ("ours_async", 0.5),
        ("verl_float", 1.0),
        ("verl_dict", 0.25),
        ("verl_async", 0.75),
        ("easyr1", 1.0),
        ("trl", 1.0),
        ("trl_bare", float(len(TEXT))),
        ("trl_async", 2.0),
    ],
)
def test_a_function_of_each_signature_is_a_term(file, name, expected):
    result = run(f"{file}:{name}")
    assert result["mine"] == expected and result["score"] == 2.0 * expected and result["mine/failed"] == 0.0


def test_other_settings_of_the_term_are_handed_to_the_function(file):
    assert run(f"{file}:ours", bonus=3.0)["mine"] == 4.0
    assert run(f"{file}:verl_float", scale=0.1)["mine"] == pytest.approx(0.1)


def test_a_function_of_an_installed_module_is_named_with_a_colon():
    result = run("medical_rl.rewards.terms.accuracy:mfrs", signature="medical_rl")
    assert result["mine/failed"] == 1.0, "MFRS refuses a yes/no sample, and that is no score"


@pytest.mark.parametrize("name", ["nothing", "not_a_number", "infinite", "broken", "two", "no_score"])
def test_what_is_no_number_is_a_failure_and_never_a_zero(file, name):
    mix = Mix({"mine": {"fn": f"{file}:{name}", "weight": 1.0}, "accuracy": {"weight": 1.0}})
    reasons = []
    mix.on_failed = lambda term, sample, error: reasons.append(str(error))
    result = asyncio.run(mix.score(TEXT, ITEM))
    assert result["mine/failed"] == 1.0 and result["score"] == 1.0 and len(reasons) == 1
    assert tuple(result) == mix.keys


def test_a_signature_that_the_names_do_not_tell_must_be_said(file):
    with pytest.raises(UserError, match="signature:"):
        run(f"{file}:strange")
    assert run(f"{file}:lone", signature="easyr1")["mine"] == 3.0
    with pytest.raises(UserError, match="easyr1, medical_rl, trl, verl"):
        run(f"{file}:lone", signature="openrlhf")


@pytest.mark.parametrize(
    "fn, said",
    [
        ("no_colon", "names no function"),
        ("/nowhere/rewards.py:f", "not there"),
        ("nomodule.of.mine:f", "cannot be imported"),
        ("medical_rl.boxes:iuo", "Did you mean 'iou'"),
    ],
)
def test_a_function_that_is_not_there_is_refused_with_what_is(fn, said):
    with pytest.raises(UserError, match=said):
        run(fn)


def test_a_file_that_cannot_be_run_is_refused_with_its_error(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("import nothing_of_that_name")
    with pytest.raises(UserError, match="nothing_of_that_name"):
        run(f"{path}:f")


def test_a_blocking_function_does_not_hold_up_the_others(tmp_path):
    path = tmp_path / "slow.py"
    path.write_text("import time\ndef slow(response, sample):\n    time.sleep(0.2)\n    return 1.0\n")
    mix = Mix({"mine": {"fn": f"{path}:slow", "weight": 1.0}})

    async def four():
        loop = asyncio.get_running_loop()
        start = loop.time()
        await asyncio.gather(*(mix.score(TEXT, ITEM) for _ in range(4)))
        return loop.time() - start

    assert asyncio.run(four()) < 0.7, "four times 0.2 s in a row would be 0.8 s"


def test_the_largest_value_of_a_users_term_must_be_said_for_a_normalised_sum(file):
    terms = {"mine": {"fn": f"{file}:ours", "weight": 1.0}}
    with pytest.raises(UserError, match="max"):
        Mix(terms, "normalised_sum")
    terms["mine"]["max"] = 2.0
    assert asyncio.run(Mix(terms, "normalised_sum").score(TEXT, ITEM))["score"] == 0.5
