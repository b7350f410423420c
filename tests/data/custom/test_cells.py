"""The cells of a user's table that are objects: options in the forms there are, and what is refused."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

LETTERED = [
    {"letter": "A", "content": "CT"},
    {"letter": "B", "content": "MRI"},
    {"letter": "C", "content": "X-ray"},
]
FORMS = {
    "objects": LETTERED,
    "objects out of order": LETTERED[::-1],
    "key and text": [{"key": o["letter"], "text": o["content"]} for o in LETTERED],
    "label and value": [{"Label": o["letter"].lower(), "Value": o["content"]} for o in LETTERED],
    "one object a letter": [{"A": "CT"}, {"B": "MRI"}, {"C": "X-ray"}],
    "objects without letters": [{"text": o["content"]} for o in LETTERED],
    "mapping": {"A": "CT", "B": "MRI", "C": "X-ray"},
    "mapping out of order": {"c": "X-ray", "b": "MRI", "a": "CT"},
    "with letters in front": ["A: CT", " B:MRI ", "(C) X-ray"],
    "Python's text": "['CT', 'MRI', 'X-ray']",
}


@pytest.mark.parametrize("gold", ["B", "mri", "b)"])
@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_options_are_read_in_every_form(table, rows, read, everything, form, written, gold):
    cell = json.dumps(form) if written and not isinstance(form, str) else form
    path = table([{**row, "answer": gold, "choices": cell} for row in rows(10)], "data.jsonl")
    found, dropped = read(path, kind="choice")
    assert not dropped and {(s.answer, s.choices) for s in everything(found)} == {
        ("MRI", ("CT", "MRI", "X-ray"))
    }


BAD = {
    "a mapping of names": (
        {"first": "CT", "second": "MRI"},
        "its options are an object whose keys are not letters",
    ),
    "an object without a text": ([{"letter": "A"}, {"letter": "B"}], "an option is an object without a text"),
    "a list in a list": ([["CT"], ["MRI"]], "an option is a list and not text"),
    "two of a letter": (
        [{"letter": "A", "text": "CT"}, {"letter": "A", "text": "MRI"}],
        "two of its options have one letter",
    ),
}


@pytest.mark.parametrize(("cell", "reason"), BAD.values(), ids=BAD)
def test_options_that_are_nothing_known_are_refused_and_never_written_as_python(
    table, rows, read, everything, cell, reason
):
    good = {"choices": ["CT", "MRI"], "answer": "CT"}
    content = [{**row, **good, **({"choices": cell} if i == 3 else {})} for i, row in enumerate(rows())]
    found, dropped = read(table(content, "data.jsonl"), kind="choice")
    assert dropped == {reason: 1} and len(everything(found)) == 19


def test_a_letter_that_is_missing_in_between_is_no_option_and_moves_no_other(table, rows, read, everything):
    # as the file letters them C is X-ray, though it is shown as B
    path = table(
        [{**r, "answer": "C", "choices": {"A": "CT", "B": None, "C": "X-ray"}} for r in rows(10)], "d.jsonl"
    )
    assert {(s.answer, s.choices) for s in everything(read(path, kind="choice")[0])} == {
        ("X-ray", ("CT", "X-ray"))
    }


@pytest.mark.parametrize(
    "names",
    [
        "ABCD",
        ["choice_A", "choice_B", "choice_C", "choice_D"],
        ["Option A", "Option B", "Option C", "Option D"],
    ],
)
def test_options_in_columns_of_their_own(custom, table, rows, read, everything, names):
    cells = dict(zip(names, ("CT", "MRI", "", "X-ray"), strict=True))
    path = table([{**row, "answer": "D", **cells} for row in rows(10)])
    assert {(s.answer, s.choices) for s in everything(read(path, kind="choice")[0])} == {
        ("X-ray", ("CT", "MRI", "X-ray"))
    }
    assert custom.describe(path, kind="choice")["columns"]["choices"] == list(names)


def test_columns_called_a_and_b_are_no_options_of_a_label(table, rows, read, everything):
    path = table([{**row, "A": "1", "B": "2"} for row in rows()])
    assert {s.choices for s in everything(read(path)[0])} == {("normal", "pneumonia")}


def test_letters_in_front_stay_where_not_every_option_has_its_own(table, rows, read, everything):
    path = table(
        [{**r, "answer": "A. fumigatus", "choices": ["A. fumigatus", "C. albicans"]} for r in rows(10)],
        "d.jsonl",
    )
    assert {s.answer for s in everything(read(path, kind="choice")[0])} == {"A. fumigatus"}


@pytest.mark.parametrize(
    "field", ["question", "answer", "group", "id", "split", "knowledge", "thought", "report", "kind"]
)
@pytest.mark.parametrize("cell", [{"text": "Which?"}, ["Which?", "Where?"]], ids=["object", "list"])
def test_no_field_takes_an_object_for_text(table, rows, read, everything, field, cell):
    usual = {"question": "Which?", "answer": "normal", "split": "train", "kind": "label"}
    content = [{**row, field: usual.get(field, f"{i}")} for i, row in enumerate(rows())]
    content[3][field] = cell
    found, dropped = read(table(content, "data.jsonl"))
    name = "an object" if isinstance(cell, dict) else "a list"
    assert dropped == {f"its {field} is {name} and not text": 1}
    assert len(everything(found)) == 19


def test_an_image_cell_without_bytes_or_path_is_refused(table, rows, read):
    path = table(rows(), "data.jsonl")
    lines = path.read_text().splitlines()
    lines[2] = json.dumps({**json.loads(lines[2]), "image": [{"url": "x"}]})
    path.write_text("\n".join(lines))
    assert read(path)[1] == {"its image is an object without bytes or path": 1}


def test_an_empty_cell_of_pandas_is_no_answer_called_nan(tmp_path, picture, read, everything):
    cells = [
        {"image": {"bytes": picture(i)}, "answer": "ab"[i % 2] if i else None, "score": None if i else 1.0}
        for i in range(20)
    ]
    frame = pa.table(
        {"image": [c["image"] for c in cells], "answer": [float(i % 2) if i else np.nan for i in range(20)]}
    )
    pq.write_table(frame, tmp_path / "a.parquet")
    found, dropped = read(tmp_path / "a.parquet", question="Which?")
    assert dropped == {"it has no answer": 1} and {s.choices for s in everything(found)} == {("0", "1")}


@pytest.mark.parametrize(
    ("image", "form"), [("halt_swap.json", "mapping"), ("halt_pmc_nota.json", "columns")]
)
def test_real_questions_whose_options_are_objects_or_columns(
    realdata, custom, tmp_path, picture, read, everything, image, form
):
    source = json.loads((realdata / "tables" / image).read_text())
    entries = list(source.values()) if isinstance(source, dict) else source
    for name in {entry["img"] for entry in entries}:
        (tmp_path / name).write_bytes(picture(len(name)))
    (tmp_path / image).write_text(json.dumps(source))
    columns = {"image": "img"} | ({"choices": "option"} if form == "mapping" else {})
    found, dropped = read(tmp_path / image, kind="choice", columns=columns)
    samples = everything(found)
    assert len(samples) + sum(dropped.values()) == len(entries) and len(samples) > 0.95 * len(entries), (
        dropped
    )
    for sample in samples:
        assert sample.answer in sample.choices and not any(
            set("{}") & set(option) for option in sample.choices
        )
        assert not any(option.startswith(("A:", "B:", "C:", "D:")) for option in sample.choices)
