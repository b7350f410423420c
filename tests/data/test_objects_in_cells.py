"""A cell that is an object, in the published sets: refused with its reason, and never text as Python prints it."""

import json

import pytest

from medical_rl.data.options import BadOptions, clean_options, matching_option
from medical_rl.data.prepare import readers
from medical_rl.data_preprocess import rule_questions
from medical_rl.errors import UserError
from medical_rl.images import encode_png

OBJECT, LIST = {"letter": "A", "content": "CT"}, ["CT"]


@pytest.mark.parametrize("cell", [OBJECT, LIST, b"CT"], ids=["object", "list", "bytes"])
def test_an_option_or_answer_that_is_no_text_is_refused_where_all_readers_clean_them(cell):
    with pytest.raises(BadOptions, match="an option is .* and not text"):
        clean_options([cell, "MRI"])
    with pytest.raises(BadOptions, match="its answer is .* and not text"):
        matching_option(cell, ("CT", str(cell)))


def test_numbers_and_what_pandas_writes_for_nothing_are_read():
    assert clean_options([1, 2.0, 0.5, float("nan"), None]) == ("1", "2", "0.5")


def one_row(tmp_path, **changes):
    """OmniMedVQA with one good row and one with `changes`."""
    folder = tmp_path / "OmniMedVQA"
    path = folder / "QA_information/Open-access/a.json"
    path.parent.mkdir(parents=True)
    rows = []
    for number, change in enumerate(({}, changes)):
        image = f"Images/{number}.png"
        (folder / "Images").mkdir(exist_ok=True)
        (folder / image).write_bytes(encode_png(__import__("numpy").full((4, 4), number, "uint8")))
        row = {"question_id": f"q{number}", "question": "Which?", "image_path": image, "gt_answer": "CT"}
        rows.append({**row, "option_A": "CT", "option_B": "MRI", "modality_type": "CT", **change})
    path.write_text(json.dumps(rows))
    return folder


@pytest.mark.parametrize(
    "key", ["question", "image_path", "gt_answer", "option_A", "question_id", "modality_type"]
)
@pytest.mark.parametrize("cell", [OBJECT, LIST], ids=["object", "list"])
def test_omnimedvqa_drops_a_row_whose_cell_is_an_object(tmp_path, read_all, key, cell):
    omni = readers.load_reader("omnimedvqa")
    samples, dropped = read_all(omni, one_row(tmp_path, **{key: cell}), val_share=0, test_share=0)
    assert [s.id for s in samples["train"]] == ["q0"]
    ((row, reason),) = dropped.items()
    assert reason.endswith(" and not text") and "{" not in row + reason


@pytest.mark.parametrize("cell", [OBJECT, LIST], ids=["object", "list"])
@pytest.mark.parametrize("key", ["question", "answer"])
def test_mmmu_drops_a_row_whose_cell_is_an_object(key, cell):
    mmmu = readers.load_reader("mmmu")
    row = {"id": "validation_Pharmacy_1", "question": "Is it?", "options": "['CT', 'MRI']", "answer": "A"}
    with pytest.raises(BadOptions, match=f"its {key} is .* and not text"):
        mmmu.question_parts({**row, "question_type": "multiple-choice", key: cell})


def test_mmmus_accepted_answers_may_be_a_list_and_no_object():
    mmmu = readers.load_reader("mmmu")
    assert mmmu.accepted_answers(["0.25", "1/4"]) == ["0.25", "1/4"]
    with pytest.raises(BadOptions, match="and not text"):
        mmmu.accepted_answers(OBJECT)


def test_a_report_to_retrieve_that_is_an_object_is_refused(tmp_path):
    path = tmp_path / "retriever.json"
    path.write_text(json.dumps([{"id": "a", "report": {"findings": "clear"}}]))
    with pytest.raises(UserError, match="its report is an object and not text"):
        list(rule_questions.corpus(path, str))
