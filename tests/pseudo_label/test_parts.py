"""Which questions are set apart: whole studies, by the seed alone, and a check that finds an overlap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_rl.errors import UserError
from medical_rl.pseudo_label.parts import check_disjoint, set_apart
from medical_rl.reward_model.training.rows import reward_model_groups
from medical_rl.sample import Sample

# forty studies; study i has 1 + i mod 4 questions, 100 in all
ROWS = [(f"q{i}-{j}", f"study {i}") for i in range(40) for j in range(1 + i % 4)]
STUDY = dict(ROWS)


def test_a_share_is_of_the_studies_with_one_question_each():
    found = set_apart(ROWS, seed=1, share=0.25)
    assert found.studies == len(found.calibration) == 10 == len({STUDY[row] for row in found.calibration})
    ours = {STUDY[row] for row in found.calibration}
    assert {STUDY[row] for row in found.unused} <= ours and not ours & {STUDY[row] for row in found.train}
    assert sorted([*found.calibration, *found.unused, *found.train]) == sorted(STUDY)


def test_all_questions_of_a_study_can_be_taken():
    found = set_apart(ROWS, seed=1, share=0.25, per_study=None)
    assert found.unused == () and found.studies == 10 and len(found.calibration) > 10
    assert {STUDY[row] for row in found.calibration} == {
        STUDY[row] for row in set_apart(ROWS, seed=1, share=0.25).calibration
    }


@pytest.mark.parametrize(("per_study", "beyond"), [(1, 0), (2, 1), (None, 3)])
def test_a_count_is_reached_by_whole_studies(per_study, beyond):
    found = set_apart(ROWS, seed=3, count=15, per_study=per_study)
    assert 15 <= len(found.calibration) <= 15 + beyond


@given(st.permutations(ROWS), st.integers(0, 2**32))
def test_the_order_of_the_rows_does_not_matter(rows, seed):
    found, again = (
        set_apart(ROWS, seed, share=0.3, per_study=2),
        set_apart(rows, seed, share=0.3, per_study=2),
    )
    assert set(found.calibration) == set(again.calibration) and set(found.train) == set(again.train)
    assert list(again.train) == [row for row, _ in rows if row in set(found.train)]  # in the order they came


def test_another_seed_sets_others_apart_and_the_draw_is_the_same_in_every_release():
    assert len({set_apart(ROWS, seed, share=0.1).calibration for seed in range(10)}) == 10
    # Written down once: a change of these ids changes everyone's calibration.
    assert set_apart(ROWS, seed=0, share=0.1).calibration == ("q12-0", "q15-0", "q20-0", "q38-0")


def test_the_draw_is_not_the_one_by_which_other_parts_take_rows():
    ours = {STUDY[row] for row in set_apart(ROWS, seed=0, share=0.25).calibration}
    theirs = reward_model_groups((study for _, study in ROWS), 25, seed=0)
    assert ours != theirs and not ours <= theirs and not theirs <= ours


def test_samples_are_taken_by_their_group_and_alone_without_one():
    samples = [
        Sample(id=str(i), source="d", question="?", kind="yes_no", answer="yes", group=f"s{i // 2}")
        for i in range(8)
    ]
    found = set_apart(samples, seed=0, share=0.5)
    assert found.studies == 2 and len(found.unused) == 2 and len(found.train) == 4
    alone = [Sample(id=str(i), source="d", question="?", kind="yes_no", answer="yes") for i in range(8)]
    assert set_apart(alone, seed=0, share=0.5).studies == 4


def test_a_row_that_was_repeated_to_fill_a_batch_counts_once():
    assert set_apart([*ROWS, *ROWS], seed=1, share=0.25) == set_apart(ROWS, seed=1, share=0.25)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"share": 0.99}, "leave none to train on"),
        ({"count": 40}, "rows=40 would set apart all 40 studies .*40 questions"),
        ({"count": 1000, "per_study": None}, r"\(100 questions\)"),
        ({"share": 0.0}, "share=0.0"),
        ({"share": 1}, "share=1"),
        ({"count": 0}, "rows=0"),
        ({"share": 0.5, "per_study": 0}, "per_study=0"),
        ({}, "either conf.calibration.share or conf.calibration.rows"),
        ({"share": 0.5, "count": 5}, "either"),
    ],
)
def test_what_cannot_be_set_apart_is_a_user_error(how, says):
    with pytest.raises(UserError, match=says):
        set_apart(ROWS, seed=0, **how)


@pytest.mark.parametrize("rows", [[], [("q", "s")], [("q1", "s"), ("q2", "s")]])
def test_one_study_or_none_cannot_be_divided(rows):
    with pytest.raises(UserError, match="leave none to train on"):
        set_apart(rows, seed=0, share=0.5)


def test_an_id_in_two_studies_is_refused():
    with pytest.raises(UserError, match="'q' is in two studies, 'a' and 'b'"):
        set_apart([("q", "a"), ("q", "b")], seed=0, share=0.5)


def test_what_was_set_apart_passes_the_check():
    found = set_apart(ROWS, seed=5, share=0.25)
    parts = {name: [(row, STUDY[row]) for row in getattr(found, name)] for name in ("calibration", "train")}
    assert (
        check_disjoint(parts["calibration"], {"train": parts["train"], "test": [("t1", "study t")]}) is None
    )


def test_an_overlap_is_found_and_named():
    with pytest.raises(
        UserError, match="1 studies are both in the calibration questions and in test, such as 'study 3'"
    ):
        check_disjoint([("q3-0", "study 3")], {"train": [("x", "study 4")], "test": [("y", "study 3")]})
    # the same question under another study's name
    with pytest.raises(UserError, match="1 rows are both .* in train, such as 'q'"):
        check_disjoint([("q", "a")], {"train": [("q", "b")]})
    # a row without a group is its own study
    with pytest.raises(UserError, match="'q'"):
        check_disjoint([("q", "")], {"train": [("q", "")]})
