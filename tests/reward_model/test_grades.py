"""The four grades of a row: what each text may and may not be."""

import collections
import dataclasses

import pytest

from medical_rl.data.prompts import target
from medical_rl.errors import UserError
from medical_rl.parsing.response import gold, parse, read
from medical_rl.reward_model.graded import CRITERIA, HIGH, LOW, read_graded, write_graded
from medical_rl.reward_model.grading.grades import BUILDERS, CONTRADICTIONS, graded_rows
from medical_rl.reward_model.grading.synonyms import Table, load
from medical_rl.reward_model.grading.text_changes import split
from medical_rl.sample import Sample
from medical_rl.tiny import phantoms

TAGGED = {"name": "tagged", "target": "<think>{{ thought }}</think><answer>{{ answer }}</answer>"}


@pytest.fixture(scope="module")
def samples():
    return list(phantoms.rows(split="train", task="vqa", sizes={"train": 60}))


@pytest.fixture(scope="module")
def made(samples):
    return list(graded_rows(samples, TAGGED, 0, load("builtin"), contradictions=0))


def by_grade(made):
    return {name: [row for row in made if row.made_by == name] for name in BUILDERS}


def test_every_row_gives_one_text_of_each_of_the_papers_grades(samples, made):
    assert [row.grade for row in made] == [10.0, 6.0, 0.0, -6.0] * len(samples)
    assert [row.sample.id for row in made[::4]] == [sample.id for sample in samples]


def test_the_original_is_the_text_that_sft_teaches(made):
    for row in by_grade(made)["original"]:
        assert row.text == target(row.sample, TAGGED)


def test_a_synonym_text_keeps_the_answer_and_differs_in_the_thought_alone(made):
    for row in by_grade(made)["synonym"]:
        old, new = split(target(row.sample, TAGGED)), split(row.text)
        assert new.thought != old.thought
        assert (new.head, new.middle, new.answer, new.tail) == (old.head, old.middle, old.answer, old.tail)


def test_a_deletion_is_no_complete_right_text(made):
    for row in by_grade(made)["deletion"]:
        old, new = target(row.sample, TAGGED), row.text
        assert len(new) < len(old) and split(old).thought not in new


def test_an_irrelevant_text_is_that_of_another_picture_and_wrong_here(samples, made):
    own = {target(sample, TAGGED) for sample in samples}
    for row in by_grade(made)["irrelevant"]:
        assert row.text in own and row.text != target(row.sample, TAGGED)
        assert read(parse(row.text), row.sample) not in (None, gold(row.sample))


def test_the_same_rows_in_another_order_give_the_same_texts(samples, made):
    turned = list(graded_rows(samples[::-1], TAGGED, 0, load("builtin"), contradictions=0))
    assert sorted(turned, key=repr) == sorted(made, key=repr)


def test_another_seed_gives_other_texts(samples, made):
    assert [r.text for r in graded_rows(samples, TAGGED, 1, load("builtin"), contradictions=0)] != [
        r.text for r in made
    ]


def test_a_row_without_a_synonym_is_counted_and_left_out(samples):
    skipped = collections.Counter()
    made = list(graded_rows(samples, TAGGED, 0, Table("empty", {}), contradictions=0, skipped=skipped))
    assert skipped == {"synonym": len(samples)} and not by_grade(made)["synonym"]


def test_samples_that_come_once_are_refused(samples):
    with pytest.raises(TypeError, match="twice"):
        next(graded_rows(iter(samples), TAGGED, 0, load("builtin")))


def test_an_unknown_grade_is_named_with_those_there_are(samples):
    with pytest.raises(UserError, match="'synonyms'.*Did you mean 'synonym'"):
        next(graded_rows(samples, TAGGED, 0, load("builtin"), builders=["synonyms"]))


def test_a_share_of_the_rows_gets_a_contradiction_and_the_rest_stays_the_same(samples, made):
    more = list(graded_rows(samples, TAGGED, 0, load("builtin"), contradictions=0.25))
    added = [row for row in more if row.made_by in CONTRADICTIONS]
    assert [row for row in more if row.made_by in BUILDERS] == made
    assert 8 <= len(added) <= 22  # 60 rows, 15 expected, within two standard deviations of 3.35
    assert all(
        r.grade == {"hallucinated": -6, "unsound": 0, "irrelevant_synonym": -6}[r.made_by] for r in added
    )


def test_a_row_alone_gets_a_wrong_answer_in_place_of_another_pictures_text(samples):
    (row,) = graded_rows(samples[:1], TAGGED, 0, load("builtin"), builders=["irrelevant"], contradictions=0)
    assert row.made_by == "hallucinated" and row.grade == -6 and split(row.text).thought == "no disc is seen"


def test_the_criteria_are_known_and_in_range(made):
    for row in made:
        assert tuple(row.criteria) == CRITERIA and all(
            LOW <= value <= HIGH for value in row.criteria.values()
        )


@pytest.mark.parametrize("share", ["contradictions", "share"])
def test_a_share_outside_0_to_1_is_refused(samples, share):
    with pytest.raises(UserError, match=f"{share}=1.5"):
        next(graded_rows(samples, TAGGED, 0, load("builtin"), **{share: 1.5}))


def test_a_real_report_keeps_its_disc_and_its_small(samples):
    fields = {"source": "demo", "meta": {"thought": "A small optic disc is seen.", "facts": None}}
    sample = dataclasses.replace(samples[0], **fields)
    rows = graded_rows([sample], TAGGED, 0, load("builtin"), builders=["synonym"], contradictions=0)
    assert list(rows) == []  # "little circle" is for phantoms


def test_the_files_rows_come_back(made, tmp_path):
    assert write_graded(made, tmp_path / "graded.parquet") == len(made)
    assert list(read_graded(tmp_path / "graded.parquet")) == made


def option(number, answer, thought, choices=("CT", "MRI", "X-ray"), question="Which modality?"):
    return Sample(id=str(number), source="demo", question=question, kind="choice", answer=answer, choices=choices,
                  group=str(number), meta={"thought": thought})  # fmt: skip


LETTERED = {"target": "<think>{{ thought or 'It fits.' }}</think><answer>{{ letter or answer }}</answer>"}


def irrelevant(*samples):
    rows = graded_rows(samples, LETTERED, 0, load("builtin"), builders=["irrelevant"], contradictions=0)
    return next(rows)


def test_the_answer_of_another_picture_takes_the_letter_it_has_here():
    # MRI is B here and A there: a bare "A" would say CT
    row = irrelevant(
        option(1, "CT", "bone is white"), option(2, "MRI", "fat is white", choices=("MRI", "CT", "X-ray"))
    )
    assert row.made_by == "irrelevant" and row.text == "<think>fat is white</think><answer>B</answer>"


def test_a_bare_letter_of_another_question_is_no_text_about_another_picture():
    row = irrelevant(
        option(1, "CT", ""), option(2, "lung", "", choices=("eye", "lung", "skin"), question="Which organ?")
    )
    assert row.made_by == "hallucinated" and row.text in (
        f"<think>It fits.</think><answer>{c}</answer>" for c in "BC"
    )
    assert "reasoning" not in row.criteria  # a stock phrase is none


def test_a_report_on_another_question_is_off_this_one_too():
    row = irrelevant(
        option(1, "CT", "bone is white"), option(2, "lung", "air is dark", ("eye", "lung"), "Which organ?")
    )
    assert row.text == "<think>air is dark</think><answer>B</answer>" and row.criteria["relevance"] == -6
