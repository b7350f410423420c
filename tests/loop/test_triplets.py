"""Triplets: what cannot be used has a reason, what can becomes a row that keeps its image's origin, duplicates are told apart."""

import dataclasses
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_rl.images import image_key
from medical_rl.loop.generators import triplets
from medical_rl.loop.generators.triplets import Triplet
from medical_rl.parsing.response import gold_problem
from medical_rl.sample import Sample

GOOD = Triplet(
    "Which organ is shown?", "liver", "A large solid organ on the right.", ("liver", "spleen", "lung")
)
ROW = Sample(id="row", source="demo", question="Which side?", kind="label", answer="left", images=(b"image",))


def but(**changes):
    return dataclasses.replace(GOOD, **changes)


def test_a_good_triplet_has_no_problem():
    assert triplets.problem(GOOD) is None


@pytest.mark.parametrize(
    "bad, reason",
    [
        (but(question=" ?! "), "no question"),
        (but(rationale=""), "no rationale"),
        (but(answer="\u200b"), "no answer"),
        (but(answer="Which organ is shown", options=()), "the question is the answer"),
        (but(answer="kidney"), "the answer is none of the options"),
        (but(answer="liver or spleen"), "the answer is none of the options"),
        (but(options=("liver",)), "not 2 to 8 options"),
        (but(options=("liver", *string.ascii_lowercase[:8])), "not 2 to 8 options"),
        (but(options=("liver", "Liver.", "lung")), "an option twice"),
        (but(options=("liver", "", "lung")), "an empty option"),
        (but(options=("liver", "A")), "one of its options reads as the letter of another"),
        (but(kind="grade", options=(), answer="severe"), "the answer cannot be read as a grade"),
        (but(kind="yes_no", options=(), answer="perhaps"), "the answer cannot be read as a yes_no"),
        (but(options=("1", "2"), answer="3"), "the answer is none of the options"),
    ],
)
def test_what_cannot_be_used_has_a_reason(bad, reason):
    assert triplets.problem(bad) == reason


@pytest.mark.parametrize(
    "answer, options, kind, kept, choices",
    [
        ("B", ("liver", "spleen"), "choice", "spleen", ("liver", "spleen")),
        ("a) liver", ("liver", "spleen"), "choice", "liver", ("liver", "spleen")),
        ("SPLEEN.", ("liver", "spleen"), "choice", "spleen", ("liver", "spleen")),
        ("Yes.", (), "yes_no", "yes", ("yes", "no")),
        ("No", ("Yes", "No"), "yes_no", "no", ("yes", "no")),
        ("3", (), "grade", "3", ()),
        ("Grade 2", ("0", "1", "2"), "grade", "2", ("0", "1", "2")),
        ("> 5 mm", ("< 5 mm", "> 5 mm"), "choice", "> 5 mm", ("< 5 mm", "> 5 mm")),
        (" lower lobe ", (), "label", "lower lobe", ()),
    ],
)
def test_the_answer_is_kept_as_the_rewards_read_it(answer, options, kind, kept, choices):
    one = but(answer=answer, options=options)
    assert triplets.problem(one) is None
    row = triplets.sample_of(ROW, one, 1)
    assert (row.kind, row.answer, row.choices) == (kind, kept, choices)
    assert gold_problem(row) is None


def test_a_row_keeps_where_its_image_comes_from_and_what_may_be_done_with_it(make_row):
    meta = {"modality": "CT", "question_type": "anatomy", "finding": "nodule", "thought": "own"}
    source = make_row(
        3, source="mimic_cxr", size=(8, 8), split="train", meta=meta, concepts=("c",), knowledge="k"
    )
    row = triplets.sample_of(source, GOOD, 2)
    for name in ("source", "group", "split", "images", "size", "restricted"):
        assert getattr(row, name) == getattr(source, name), name
    assert row.restricted and row.id.startswith("gen/2/") and len(row.id) == len("gen/2/") + 12
    own = {"thought": GOOD.rationale, "generated": True, "round": 2, "image_of": "3"}
    # what was asked of the source row (its finding, its concepts and knowledge) is not what is asked now
    assert row.meta == {"modality": "CT", "question_type": "anatomy", **own}
    assert (row.concepts, row.knowledge) == ((), "")


def test_what_a_generator_knows_is_in_the_meta_and_the_loops_own_keys_stand():
    known = {"truth": "liver", "is_error": False, "question_type": "organ", "generated": False}
    meta = triplets.sample_of(ROW, but(known=known), 1).meta
    assert (meta["truth"], meta["is_error"], meta["question_type"], meta["generated"]) == (
        "liver",
        False,
        "organ",
        True,
    )


def test_ids_follow_from_round_image_and_texts(make_row):
    row = make_row(1)
    ids = [
        triplets.sample_of(source, one, round).id
        for source, one, round in (
            (row, GOOD, 1),
            (row, GOOD, 2),
            (make_row(2), GOOD, 1),
            (row, but(rationale="Other."), 1),
            (row, but(answer="lung"), 1),
        )
    ]
    assert (
        len(set(ids)) == 5 and triplets.sample_of(dataclasses.replace(row, id="again"), GOOD, 1).id == ids[0]
    )


def test_the_rows_own_question_keeps_its_kind_choices_and_knowledge():
    source = dataclasses.replace(ROW, choices=("left", "right", "none"), knowledge="left: nearer the heart")
    free = Triplet("WHICH side", "right", "It lies there.")
    for one in (free, dataclasses.replace(free, options=("none", "right", "left"))):
        done = triplets.with_source_question(one, source)
        assert (done.kind, done.options, done.knowledge) == ("label", source.choices, source.knowledge)
    other_options = dataclasses.replace(free, options=("right", "left"))
    assert triplets.with_source_question(other_options, source) == other_options
    assert triplets.with_source_question(GOOD, source) == GOOD
    assert (
        triplets.problem(triplets.with_source_question(dataclasses.replace(free, answer="up"), source))
        is not None
    )


def test_duplicates_are_told_by_image_question_and_answer_without_case_and_punctuation(make_row):
    a, b = make_row(1), make_row(2)
    said = [
        (a, GOOD),
        (a, but(question="which ORGAN is shown")),
        (b, GOOD),
        (a, but(answer="lung")),
        (a, but(rationale="New.")),
    ]
    rows = [triplets.sample_of(source, one, 1) for source, one in said]
    assert [r.id for r in triplets.without_duplicates(rows)] == [rows[0].id, rows[2].id, rows[3].id]
    known = {triplets.duplicate_key(rows[0])}
    assert [r.id for r in triplets.without_duplicates(rows, known)] == [rows[2].id, rows[3].id]
    assert known == {triplets.duplicate_key(r) for r in rows}


def test_signs_make_another_answer(make_row):
    source = make_row(1)
    rows = [
        triplets.sample_of(source, but(answer=answer, options=()), 1) for answer in ("ER+", "ER-", "er+.")
    ]
    assert triplets.duplicate_key(rows[0]) != triplets.duplicate_key(rows[1]) and triplets.duplicate_key(
        rows[0]
    ) == triplets.duplicate_key(rows[2])


def test_the_order_of_several_images_counts(make_row):
    one, two = make_row(1).images[0], make_row(2).images[0]
    assert len({image_key(images) for images in ((one,), (two,), (one, two), (two, one))}) == 4


TEXT = st.text(max_size=12)


@given(TEXT, TEXT, TEXT, st.lists(TEXT, max_size=9).map(tuple), st.sampled_from(["", *triplets.KINDS]))
def test_any_triplet_has_a_reason_or_becomes_a_row_whose_gold_answer_holds(
    question, answer, rationale, options, kind
):
    one = Triplet(question, answer, rationale, options, kind)
    if triplets.problem(one) is None:
        row = triplets.sample_of(ROW, one, 1)
        assert gold_problem(row) is None
        assert row.kind == "yes_no" or row.choices == options
        assert len(list(triplets.without_duplicates([row, row]))) == 1
