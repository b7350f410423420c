"""Claims about what is scored as a question's options."""

import pytest
import yaml

from medical_rl.evaluation.auroc import answer_opening, answer_options, continuations
from medical_rl.parsing.response import parse, read
from medical_rl.sample import Sample

CHOICES = ("smooth muscle", "smooth muscle, artery", "bone")


def sample(kind="label", answer="bone", choices=CHOICES, **meta):
    return Sample(
        id="1", source="demo", question="Which?", kind=kind, answer=answer, choices=choices, meta=meta
    )


@pytest.fixture
def prompt(root):
    return lambda name: yaml.safe_load((root / "conf" / "prompt" / f"{name}.yaml").read_text())


def test_which_rows_have_options():
    assert answer_options(sample()) == CHOICES
    assert answer_options(sample("yes_no", "no", ())) == ("yes", "no")
    assert answer_options(sample("grade", "1", ("0", "1"))) == ("0", "1")
    assert answer_options(sample("box", "[1, 2, 3, 4]", ())) == ()
    assert answer_options(sample("label", "anything", ())) == ()


@pytest.mark.parametrize(
    "response, head, closing",
    [
        ("<think>a</think> \\boxed{bone}", "<think>a</think> \\boxed{", "}"),
        ("<think>a</think><answer>bone</answer> so", "<think>a</think><answer>", "</answer>"),
        ("\\boxed{bone} no, \\boxed{smooth muscle}.", "\\boxed{bone} no, \\boxed{", "}"),
        ("<answer>\\boxed{bone}</answer>", "<answer>\\boxed{", "}"),
        # a mark in the thought, and one that is never closed, answer nothing
        ("<think>\\boxed{bone}</think> \\boxed{ bone }", "<think>\\boxed{bone}</think> \\boxed{", "}"),
        ("\\boxed{bone} and \\boxed{smooth", "\\boxed{", "}"),
    ],
)
def test_options_follow_the_models_own_text_up_to_the_answer_that_is_read(response, head, closing):
    assert answer_opening(response) == (head, closing)


@pytest.mark.parametrize(
    "response", ["", "bone", "<think>\\boxed{bone}</think>", "<think>\\boxed{bone}", "\\boxed{bone"]
)
def test_a_response_without_a_final_answer_has_no_opening(response):
    assert answer_opening(response) is None


@pytest.mark.parametrize(
    "name", ["brief", "class_names", "multiple_choice", "multiple_choice_tagged", "yes_no"]
)
@pytest.mark.parametrize(
    "response", ["<think>red</think> \\boxed{bone}", "<think>red</think><answer>C</answer>", "no mark"]
)
def test_each_continuation_is_read_as_the_option_it_scores(prompt, name, response):
    one = sample("yes_no", "no", ()) if name == "yes_no" else sample("choice")
    texts = continuations(one, prompt(name), response)
    assert [read(parse(text), one) for text in texts] == list(answer_options(one))
    if response != "no mark":
        assert all(text.startswith("<think>red</think>") for text in texts)


def test_letters_are_scored_where_the_prompt_asks_for_letters(prompt):
    texts = continuations(sample("choice"), prompt("multiple_choice"), "\\boxed{bone}")
    assert texts == ["\\boxed{A}", "\\boxed{B}", "\\boxed{C}"]


def test_the_rows_own_thought_which_could_tell_the_answer_is_in_none_of_them(prompt):
    told = sample(thought="this is bone, plainly")
    texts = continuations(told, prompt("class_names"), "not in the form")
    assert not any("plainly" in text for text in texts)
    # all begin alike, so that only the answer can tell them apart
    assert {text.split("\\boxed{")[0] for text in texts} == {
        "<think>The picture fits this answer best.</think> "
    }


def test_an_option_that_begins_another_is_closed():
    texts = continuations(sample(), {"target": "<answer>{{ answer }}</answer>"}, "\\boxed{bone}")
    assert texts[:2] == ["\\boxed{smooth muscle}", "\\boxed{smooth muscle, artery}"]
