"""The parser on hand-labelled model outputs, written before it, and on any string at all."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_rl.parsing.response import gold, parse, parse_lenient, read
from medical_rl.sample import KINDS, Sample

CASES = [
    json.loads(line) for line in (Path(__file__).parent / "cases" / "answers.jsonl").read_text().splitlines()
]


def asked(kind, choices=(), answer="x", question="?"):
    return Sample(id="1", source="test", question=question, kind=kind, answer=answer, choices=tuple(choices))


def test_there_are_at_least_300_cases_of_every_kind():
    assert len(CASES) >= 300 and len({case["id"] for case in CASES}) == len(CASES)
    assert {case["kind"] for case in CASES} == set(KINDS)
    for kind in KINDS:
        refused = sum(case["expect"] is None for case in CASES if case["kind"] == kind)
        assert refused >= 20, f"{kind}: too few answers that must not be read"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_hand_labelled_output_is_read_as_labelled(case):
    sample = asked(case["kind"], case["choices"], question=case.get("question", "?"))
    found = read(parse(case["response"]), sample)
    if case["kind"] == "box":
        found = None if found is None else json.loads(found)
    elif case["expect"] is None and case["kind"] in ("label", "choice"):
        assert found not in case["choices"], case["why"]
        return
    assert found == case["expect"], case["why"]


PIECES = st.sampled_from(
    [
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "\\boxed{",
        "}",
        "{",
        "yes",
        "no",
        "B",
        "(",
        "[1,2,3,4]",
        "3",
        "\n",
        "\x00",
    ]
)


@given(st.lists(PIECES | st.text(max_size=8), max_size=20).map("".join), st.sampled_from(KINDS))
def test_any_string_is_read_without_an_error(text, kind):
    found = read(parse(text), asked(kind, ("malignant", "normal, benign")))
    assert found is None or isinstance(found, str)


@given(st.sampled_from(["yes", "no"]), st.text(alphabet="abc <>/{}\\", max_size=30))
def test_a_thought_never_answers(verdict, noise):
    thought = noise.replace("<", "").replace(">", "")
    assert (
        read(
            parse(f"<think>{thought}<answer>{verdict}</answer>\\boxed{{{verdict}}}</think>"), asked("yes_no")
        )
        is None
    )


@given(st.integers(-50, 50))
def test_what_is_read_of_a_gold_answer_is_the_gold_answer(number):
    sample = asked("grade", answer=str(number))
    assert read(parse(f"<think>so</think> \\boxed{{{number}}}"), sample) == gold(sample) == str(number)


def test_signs_tell_options_apart_that_have_the_same_words():
    sizes = asked("choice", ("< 5 mm", "> 5 mm"))
    assert read(parse("<answer>> 5 mm</answer>"), sizes) == "> 5 mm"
    assert read(parse("<answer>5 mm</answer>"), sizes) not in sizes.choices


def test_a_free_label_is_compared_without_case_and_punctuation():
    free = asked("label", answer="Left upper-lobe nodule.")
    assert read(parse("<answer>left upper lobe nodule</answer>"), free) == gold(free)


HOSTILE = {
    "choice": ("<answer>option{}@</answer>", " "),
    "grade": ("\\boxed{{2,{} 3}}", " "),
    "box": ("<answer>(1,2){}x</answer>", " "),
    "label": ("\\boxed{{x{}", "\\boxed{"),
    "yes_no": ("<answer>yes. so{}x</answer>", " "),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
def test_reading_takes_time_in_proportion_to_the_text(kind):
    # 100,000 characters in milliseconds; patterns that cost the square of a run of spaces took minutes
    form, piece = HOSTILE[kind]
    text = form.format(piece * (100_000 // len(piece)))
    for parser in (parse, parse_lenient):
        assert read(parser(text), asked(kind, ("a", "b"))) not in ("a", "b", "no")
