"""Probes and contradictions: each deserves its grade, and no probe is a training text."""

import collections
import dataclasses

import numpy as np
import pytest

from medical_rl.data.prompts import target
from medical_rl.errors import UserError
from medical_rl.images import decode, image_size
from medical_rl.parsing.response import gold, parse, read
from medical_rl.reward_model.grading.grades import BUILDERS, CONTRADICTIONS, graded_rows
from medical_rl.reward_model.grading.probes import PROBES, probe_rows
from medical_rl.reward_model.grading.synonyms import Table, load
from medical_rl.reward_model.grading.text_changes import split
from medical_rl.reward_model.grading.text_maker import Donors, TextMaker
from medical_rl.sample import Sample
from medical_rl.tiny import phantoms

TAGGED = {"name": "tagged", "target": "<think>{{ thought }}</think><answer>{{ answer }}</answer>"}
BUILTIN = load("builtin")


@pytest.fixture(scope="module")
def samples():
    return list(phantoms.rows(split="test", task="vqa", sizes={"test": 120}))


@pytest.fixture(scope="module")
def probes(samples):
    rows = list(probe_rows(samples, TAGGED, 0, BUILTIN))
    return {name: [row for row in rows if row.made_by == name] for name in PROBES}


def yes_no(number, answer, thought):
    return Sample(id=str(number), source="demo", question="Is it enlarged?", kind="yes_no", answer=answer, group=str(number),
                  meta={"thought": thought})  # fmt: skip


def is_right(row):
    return read(parse(row.text), row.sample) == gold(row.sample)


def test_every_kind_is_made_with_the_grade_it_deserves(samples, probes):
    assert {name: {row.grade for row in rows} for name, rows in probes.items()} == {
        "wrong_image_synonym": {-6.0}, "text_against_answer": {-6.0, 0.0}, "unseen_wording": {6.0}, "grey_image": {-6.0},
    }  # fmt: skip
    assert [len(rows) for name, rows in probes.items() if name != "text_against_answer"] == [len(samples)] * 3
    assert len(probes["text_against_answer"]) > len(samples) / 3


def test_a_wrong_image_synonym_is_well_worded_and_wrong(probes):
    for row in probes["wrong_image_synonym"]:
        assert not is_right(row) and "disc is seen" not in row.text


def test_text_and_answer_are_at_odds_and_the_grade_says_which_is_wrong(probes):
    for row in probes["text_against_answer"]:
        true_thought = parse(row.text).thought == row.sample.meta["thought"]
        assert (true_thought, is_right(row)) == ((True, False) if row.grade == -6 else (False, True))


def test_unseen_wording_says_the_same_in_other_words(probes):
    for row in probes["unseen_wording"]:
        own = split(target(row.sample, TAGGED)).thought
        assert is_right(row) and split(row.text).thought != own
        assert ("no " in own, "left" in own, "right" in own) == tuple(
            w in row.text for w in ("no ", "on the left", "on the right")
        )


def test_a_grey_image_has_the_size_and_nothing_to_see(samples, probes):
    for sample, row in zip(samples, probes["grey_image"], strict=True):
        assert row.text == target(sample, TAGGED) and row.sample.images != sample.images
        assert image_size(row.sample.images[0]) == image_size(sample.images[0])
        assert np.unique(np.asarray(decode(row.sample.images[0]))).tolist() == [128]


def test_no_probe_is_a_training_text_even_of_the_same_rows(samples, probes):
    made = graded_rows(samples, TAGGED, 0, BUILTIN, builders=[*BUILDERS], contradictions=1.0)
    trained = {row.text for row in made}
    for name in ("wrong_image_synonym", "text_against_answer", "unseen_wording"):
        assert not trained & {row.text for row in probes[name]}, name


def test_the_overlap_above_would_be_seen(samples):
    # the same probes with the training's own words and pairs do meet the training texts
    rows = graded_rows(samples, TAGGED, 0, BUILTIN, builders=["synonym"], contradictions=1.0)
    again = graded_rows(samples, TAGGED, 7, BUILTIN, builders=["synonym"], contradictions=1.0)
    assert {row.text for row in rows} & {row.text for row in again}


def test_words_that_training_learned_are_taken_from_the_probes(samples):
    trained = Table("all", {phrase: ways for phrase, ways in load("held_out").table.items()})
    skipped = collections.Counter()
    rows = list(probe_rows(samples, TAGGED, 0, trained, probes=["unseen_wording"], skipped=skipped))
    assert rows == [] and skipped == {"unseen_wording": len(samples)}


def test_of_yes_and_no_the_probe_differs_from_training_in_words():
    rows = [
        yes_no(1, "yes", "The heart is enlarged."),
        yes_no(2, "no", "The heart size is within normal limits."),
    ]
    trained = {
        row.text for seed in range(20) for row in graded_rows(rows, TAGGED, seed, BUILTIN, contradictions=1.0)
    }
    found = [
        row
        for seed in range(20)
        for row in probe_rows(rows, TAGGED, seed, BUILTIN, probes=["text_against_answer"])
    ]
    assert found and not trained & {row.text for row in found}
    assert {row.text for row in found} <= {
        "<think>The heart is larger than normal.</think><answer>no</answer>",
    }


def test_probes_and_contradictions_do_not_depend_on_the_order_of_rows(samples, probes):
    turned = list(probe_rows(samples[::-1], TAGGED, 0, BUILTIN))
    assert sorted(turned, key=repr) == sorted((row for rows in probes.values() for row in rows), key=repr)


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contradiction_that_cannot_be_made_is_none(name):
    alone = Sample(id="1", source="demo", question="?", kind="label", answer="cyst", meta={"thought": "dark"})
    assert CONTRADICTIONS[name](alone, TextMaker(TAGGED, 0, BUILTIN, Donors([], 0))) is None


def test_a_row_without_a_thought_is_not_contradicted_by_the_prompts_stock_phrase():
    stock = {"target": "<think>{{ thought or 'The picture fits it.' }}</think><answer>{{ answer }}</answer>"}
    rows = [yes_no(1, "yes", ""), yes_no(2, "no", "")]
    skipped = collections.Counter()
    made = list(
        graded_rows(rows, stock, 0, BUILTIN, builders=["irrelevant"], contradictions=1.0, skipped=skipped)
    )
    assert [row.made_by for row in made] == ["irrelevant", "irrelevant"] and skipped == {"contradiction": 2}
    assert (
        list(probe_rows(rows, stock, 0, BUILTIN, probes=["text_against_answer", "wrong_image_synonym"])) == []
    )


def test_a_row_without_pictures_has_no_grey_one(samples):
    rows = [dataclasses.replace(sample, images=()) for sample in samples[:3]]
    assert list(probe_rows(rows, TAGGED, 0, BUILTIN, probes=["grey_image"])) == []


def test_an_unknown_probe_is_named_with_those_there_are(samples):
    with pytest.raises(UserError, match="'gray_image'.*Did you mean 'grey_image'"):
        next(probe_rows(samples, TAGGED, 0, BUILTIN, probes=["gray_image"]))
