"""Deleted phrases: what is left is no shorter report and no whole right response."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_rl.parsing.response import parse, read
from medical_rl.reward_model.graded import deletion_criteria
from medical_rl.reward_model.grading.text_changes import delete, split
from medical_rl.sample import Sample

CHOICE = Sample(id="1", source="demo", question="?", kind="choice", answer="cyst", choices=("cyst", "mass"))
TEXT = "<think>There is a round dark area with sharp margins in the left kidney.</think><answer>cyst</answer>"
REPORTS = st.lists(
    st.sampled_from(["the", "lungs", "are", "clear", "no", "effusion", "is", "seen", ",", "heart", "."]),
    max_size=30,
)
FORMS = st.sampled_from(
    ["<think>{}</think><answer>cyst</answer>", "<think>{}</think> \\boxed{{A}}", "{}. \\boxed{{cyst}}", "{}"]
)


def some(text, sample=CHOICE, n=40):
    return [delete(text, sample, np.random.default_rng(seed)) for seed in range(n)]


def test_words_of_the_thought_are_gone_and_the_others_stay_in_order():
    for new in some(TEXT):
        left, words = parse(new).thought or new, iter(split(TEXT).thought.split())
        kept = left.replace("<think>", "").split("<")[0].split()
        assert all(word in words for word in kept)  # a subsequence
        assert 3 <= len(kept) <= 9 and kept[0] == "There"  # 14 words, of which 40 to 70 % go


def test_all_three_kinds_of_damage_occur():
    new = some(TEXT)
    whole = [text for text in new if read(parse(text), CHOICE) == "cyst"]
    empty = [text for text in new if text.endswith("<answer></answer>")]
    torn = [text for text in new if not text.endswith("</answer>")]
    assert len(whole) + len(empty) + len(torn) == len(new) and min(map(len, (whole, empty, torn))) >= 3


def test_a_negation_is_never_taken_from_a_sentence_that_stays():
    text = TEXT.replace("There is a round", "There is no round")
    assert all(" no " in new for new in some(text))


def test_nothing_to_delete_is_none():
    assert some("", n=5) == [None] * 5
    # a thought of one word cannot lose a phrase, so the answer or the end goes
    short = some("<think>cystic</think><answer>cyst</answer>")
    assert None not in short and not any(read(parse(new), CHOICE) == "cyst" for new in short)


def test_the_criteria_tell_what_is_left():
    assert (
        deletion_criteria("<think>There is a kidney.</think><answer>cyst</answer>", TEXT, CHOICE)["factual"]
        == 10
    )
    broken = deletion_criteria("<think>There is a kidney.</think><ans", TEXT, CHOICE)
    assert broken == {"factual": 0.0, "format": 0.0, "reasoning": 0.0, "relevance": 10.0}


@given(REPORTS, FORMS, st.integers(0, 2**32 - 1))
def test_of_any_report_the_rest_differs_and_is_never_whole_and_right(words, form, seed):
    text = form.format(" ".join(words))
    new = delete(text, CHOICE, np.random.default_rng(seed))
    if new is None:
        return
    assert new.strip() and len(new) < len(text)
    if read(parse(new), CHOICE) == "cyst":
        assert split(text).thought.strip() not in new


@pytest.mark.parametrize("answer", ["normal, benign", "[1, 2, 3, 4]"])
def test_an_answer_goes_whole_and_never_becomes_another(answer):
    kind = "box" if answer.startswith("[") else "label"
    sample = dataclasses.replace(
        CHOICE, kind=kind, answer=answer, choices=() if kind == "box" else ("normal", answer)
    )
    for new in some(TEXT.replace("cyst<", f"{answer}<"), sample):
        assert parse(new).answer in (None, "", answer)
