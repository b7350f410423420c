"""A user's own answers: every kind of them, and those that are none."""

import pytest


@pytest.mark.parametrize(
    ("kind", "answer", "more", "want"),
    [
        ("yes_no", "Yes.", {}, ("yes", ("yes", "no"))),
        ("yes_no", "NO", {}, ("no", ("yes", "no"))),
        ("grade", "3.0", {}, ("3", ("3",))),
        ("choice", "b", {"choices": "CT | MRI, T1"}, ("MRI, T1", ("CT", "MRI, T1"))),
        ("choice", "mri, t1.", {"choices": '["CT", "MRI, T1"]'}, ("MRI, T1", ("CT", "MRI, T1"))),
        ("box", "1, 2, 19, 10", {}, ("[1, 2, 19, 10]", ())),
        ("box", "[[1, 2, 5, 6], [3.5, 4, 9, 9]]", {}, ("[[1, 2, 5, 6], [3.5, 4, 9, 9]]", ())),
    ],
)
def test_every_kind_of_answer(table, kind, answer, more, want, rows, read, everything):
    found, dropped = read(
        table([{**row, "answer": answer, **more} for row in rows()]), kind=kind, several="each"
    )
    assert {(s.answer, s.choices) for s in everything(found)} == {want} and not dropped
    assert {s.kind for s in everything(found)} == {kind}


@pytest.mark.parametrize(
    ("kind", "answer", "reason"),
    [
        ("yes_no", "maybe", "its answer is neither yes nor no"),
        ("grade", "high", "its answer is no whole number"),
        ("grade", "2.5", "its answer is no whole number"),
        ("choice", "E", "its answer is the letter of no option"),
        ("box", "1, 2, 3", "its box is not four numbers"),
        ("box", "__import__('os')", "its box is not four numbers"),
        ("box", "5, 5, 5, 9", "its box is empty: x1 < x2 and y1 < y2 are needed"),
        ("box", "1, 2, 21, 9", "its box reaches outside the image"),
        ("box", "-1, 2, 9, 9", "its box reaches outside the image"),
        ("label", "", "it has no answer"),
        ("label", " ", "it has no answer"),
    ],
)
def test_an_answer_that_is_none_is_told_with_its_row(table, kind, answer, reason, rows, read, everything):
    good = {"yes_no": "yes", "grade": "1", "choice": "CT", "box": "1, 2, 3, 4", "label": "normal"}[kind]
    more = {"choices": "CT|MRI"} if kind == "choice" else {}
    content = [{**row, "answer": answer if i == 7 else good, **more} for i, row in enumerate(rows())]
    found, dropped = read(table(content), kind=kind)
    assert dropped == {reason: 1} and len(everything(found)) == 19
