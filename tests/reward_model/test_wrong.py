"""Wrong answers, untrue thoughts, and which of them only the probes may use."""

import dataclasses
import itertools

import numpy as np
import pytest

from medical_rl.parsing.response import gold, parse, read
from medical_rl.reward_model.grading.grades import is_one_pair, is_probed, untrue_thoughts, wrong_answers
from medical_rl.reward_model.grading.synonyms import Table
from medical_rl.reward_model.grading.text_changes import split
from medical_rl.reward_model.grading.text_maker import Donors, TextMaker, is_wrong
from medical_rl.sample import Sample
from medical_rl.tiny import phantoms

LETTERED = {"target": "<think>{{ thought }}</think> \\boxed{{ '{' }}{{ letter or answer }}{{ '}' }}"}
NOBODY = Donors([], 0)
MAKER = TextMaker(LETTERED, 0, Table("empty", {}), NOBODY)


def row(kind, answer, choices=(), id="1", **fields):
    return Sample(
        id=id, source="demo", question="?", kind=kind, answer=answer, choices=choices, group=id, **fields
    )


@pytest.mark.parametrize(
    ("sample", "wrong"),
    [
        (row("choice", "CT", ("MRI", "CT", "X-ray")), ["MRI", "X-ray"]),
        (row("choice", "B", ("MRI", "CT", "X-ray")), ["MRI", "X-ray"]),  # a gold answer that is a letter
        (row("grade", "2", ("0", "1", "2")), ["0", "1"]),
        (row("yes_no", "No"), ["yes"]),
        (row("label", "cyst"), []),  # nobody lends an answer
    ],
)
def test_wrong_answers_are_the_others_of_the_kind(sample, wrong):
    assert wrong_answers(sample, NOBODY) == wrong


def test_a_free_answer_is_set_against_other_rows_answers_but_not_against_its_own_words():
    rows = [
        row("label", "left lung", id="1"),
        row("label", "Left Lung.", id="2"),
        row("label", "spleen", id="3"),
    ]
    assert wrong_answers(rows[0], Donors(rows, 0)) == ["spleen"]


def test_a_box_is_wrong_only_where_it_does_not_lie_over_the_gold_one():
    rows = [
        row("box", "[0, 0, 10, 10]", id="1"),
        row("box", "[0, 0, 10, 9]", id="2"),
        row("box", "[20, 20, 30, 30]", id="3"),
    ]
    assert wrong_answers(rows[0], Donors(rows, 0)) == ["[20, 20, 30, 30]"]  # IoU 0.9 and 0


def test_a_wrong_option_comes_with_its_own_letter():
    sample = row("choice", "CT", ("MRI", "CT", "X-ray"), meta={"thought": "bone is bright"})
    text = MAKER.text(sample, "X-ray")
    assert text == "<think>bone is bright</think> \\boxed{C}" and is_wrong(text, sample)
    assert not is_wrong(MAKER.text(sample, "CT"), sample) and not is_wrong("no mark", sample)


def test_a_pair_is_the_probes_in_both_directions_and_every_truth_can_train():
    classes = tuple("abcdefgh")
    samples = {one: row("label", one, classes) for one in classes}
    kept = [
        {one, other} for one, other in itertools.permutations(classes, 2) if is_probed(samples[one], other)
    ]
    assert len(kept) == 14 and all(
        kept.count(pair) == 2 for pair in kept
    )  # 28 pairs, a quarter of them, two ways
    for one in classes:
        assert not all(is_probed(samples[one], other) for other in classes if other != one)


def test_a_free_pair_does_not_depend_on_how_the_answer_is_written():
    names = ("glioma", "cyst", "abscess", "infarct", "edema", "normal", "spleen", "stone")
    pairs = list(itertools.combinations(names, 2))
    kept = [is_probed(row("label", one), other) for one, other in pairs]
    assert kept == [is_probed(row("label", other.upper()), f"{one}.") for one, other in pairs]
    assert 2 <= sum(kept) <= 13  # 28 pairs, a quarter expected


def test_two_answers_are_one_pair_that_both_use():
    assert is_one_pair(row("yes_no", "yes")) and is_one_pair(row("label", "a", ("a", "b")))
    assert not is_probed(row("yes_no", "yes"), "no") and not is_one_pair(row("label", "a", ("a", "b", "c")))


def test_an_untrue_thought_of_a_phantom_comes_from_its_facts():
    for sample in phantoms.rows(split="train", task="vqa", sizes={"train": 30}):
        found = list(untrue_thoughts(sample, NOBODY, np.random.default_rng(0), "test"))
        assert found and all(
            answer != sample.answer and thought != sample.meta["thought"] for answer, thought in found
        )
    assert ("left", "the disc lies on the left") in found or ("none", "no disc is seen") in found


def test_an_untrue_thought_of_another_row_comes_from_donors_that_have_one():
    rows = [row("label", answer, id=str(i), meta={"thought": thought})
            for i, (answer, thought) in enumerate([("cyst", "dark"), ("stone", "bright"), ("mass", ""), ("gas", "dark")])]  # fmt: skip
    found = list(untrue_thoughts(rows[0], Donors(rows, 0), np.random.default_rng(0), "test"))
    assert found == [("stone", "bright")]  # mass has no thought, gas the same as the row's own
    elsewhere = Donors([dataclasses.replace(donor, question="Else?") for donor in rows[1:]], 0)
    assert list(untrue_thoughts(rows[0], elsewhere, np.random.default_rng(0), "test")) == []


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        (
            '<think>a {b} c</think><answer>{"bbox": [1, 2, 3, 4]}</answer>',
            "a {b} c",
            '{"bbox": [1, 2, 3, 4]}',
        ),
        ("<think>x</think> \\boxed{a{b}c}!", "x", "a{b}c"),
        ("A report. \\boxed{2}", "A report.", "2"),
        ("<think>2</think> \\boxed{2}", "2", "2"),
        ("plain", "", "plain"),
    ],
)
def test_the_parts_of_a_response_give_it_back(text, thought, answer):
    parts = split(text)
    assert (parts.text, parts.thought, parts.answer) == (text, thought, answer)
    assert parts.with_thought("new").count("new") == 1


def test_the_parts_answer_is_the_one_that_is_read():
    for sample in phantoms.rows(split="train", task="vqa", sizes={"train": 5}):
        text = MAKER.text(sample, sample.answer)
        assert read(parse(f"\\boxed{{{split(text).answer}}}"), sample) == gold(sample)
