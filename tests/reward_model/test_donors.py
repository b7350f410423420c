"""Rows that lend their texts: bounded, the same in any order, never of the same picture."""

import dataclasses

import pytest

from medical_rl.parsing.response import gold
from medical_rl.reward_model.grading.text_maker import Donors
from medical_rl.sample import Sample


def row(number, answer="a", question="Which?", **fields):
    return Sample(**{"id": str(number), "source": "demo", "question": question, "kind": "label", "answer": answer,
                     "group": f"patient {number}", "images": (b"x",), **fields})  # fmt: skip


MANY = [row(i, "abc"[i % 3], question=f"Question {i % 5}?") for i in range(300)]


def ids(donors, sample):
    return [donor.id for donor in donors.of(sample)]


def test_a_donor_is_of_another_group_and_has_another_answer():
    donors = Donors(MANY, 0)
    for sample in MANY[:30]:
        lent = list(donors.of(sample))
        assert lent and all(gold(d) != gold(sample) and d.group != sample.group for d in lent)


def test_rows_of_one_patient_lend_each_other_nothing():
    rows = [row(1, "a", group="p"), row(2, "b", group="p"), row(3, "b", group="q")]
    assert ids(Donors(rows, 0), rows[0]) == ["3"]


def test_rows_without_groups_are_told_apart_by_their_ids():
    rows = [row(1, "a", group=""), row(2, "b", group="")]
    assert ids(Donors(rows, 0), rows[0]) == ["2"]


def test_the_same_question_comes_first_then_the_same_kind_alone():
    rows = [row(1, "a"), row(2, "b"), row(3, "b", question="Else?"), row(4, "yes", kind="yes_no")]
    assert ids(Donors(rows, 0), rows[0]) == ["2", "3"]


def test_order_and_repeats_do_not_matter_but_seed_and_row_do():
    one, other = Donors(MANY, 0, per_question=4), Donors(MANY[::-1] + MANY[:50], 0, per_question=4)
    assert [ids(one, s) for s in MANY] == [ids(other, s) for s in MANY]
    assert [ids(one, s) for s in MANY] != [ids(Donors(MANY, 1, per_question=4), s) for s in MANY]
    assert len({tuple(ids(one, s)) for s in MANY[::15]}) > 5  # all of question 0 and answer a


@pytest.mark.parametrize("turn", [1, -1])
def test_memory_is_bounded_in_rows_and_in_questions(turn):
    rows = [row(i, "ab"[i % 2], question=f"Question {i}?") for i in range(500)]
    donors = Donors(rows[::turn], 0, per_question=8, questions=16)
    assert 0 < len(donors._by_question) <= 16 and len(donors._by_kind["label"]) == 8
    assert donors._by_question.keys() == Donors(rows, 0, per_question=8, questions=16)._by_question.keys()
    assert ids(donors, rows[3])  # a question that was let go borrows from its kind


def test_images_are_not_kept():
    assert all(donor.images == () for donor in Donors(MANY, 0).of(MANY[0]))


def test_a_restricted_text_is_not_lent_to_a_row_that_may_be_sent_anywhere():
    open_row, closed = row(1, "a"), row(2, "b", restricted=True)
    donors = Donors([open_row, closed], 0)
    assert ids(donors, open_row) == [] and ids(donors, closed) == ["1"]
    assert ids(donors, dataclasses.replace(open_row, restricted=True)) == ["2"]
