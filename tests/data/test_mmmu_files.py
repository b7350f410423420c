"""MMMU's files: what is refused, and the real gold answers and options of the medical subjects that are there."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medical_rl.data.options import BadOptions
from medical_rl.data.prepare import readers
from medical_rl.data_preprocess import mmmu as mmmu_row
from medical_rl.errors import UserError


def test_the_medical_subjects_have_145_choices_and_5_short_answers(realdata):
    answers = json.loads((realdata / "mmmu/answer_dict_val.json").read_text())
    ours = {
        name: a
        for name, a in answers.items()
        if "_".join(name.split("_")[1:-1]) in readers.load_reader("mmmu").SUBJECTS
    }
    kinds = [a["question_type"] for a in ours.values()]
    assert len(ours) == 150 and kinds.count("multiple-choice") == 145


def test_the_real_options_hold_their_gold_answers(realdata):
    """Of the options of two subjects that are there, one question's are letters out of order, and only it is refused."""
    answers = json.loads((realdata / "mmmu/answer_dict_val.json").read_text())
    asked, refused = 0, {}
    for subject in ("Basic_Medical_Science", "Clinical_Medicine"):
        for entry in json.loads((realdata / f"mmmu/qwen_vl_{subject}_output.json").read_text()):
            if entry["question_type"] != "multiple-choice":
                continue
            listed = list(entry["index2ans"].values())
            row = {"question": "?", "options": repr(listed), "answer": answers[entry["id"]]["ground_truth"]}
            try:
                _, choices, answer, _ = mmmu_row.question_parts({**row, "question_type": "multiple-choice"})
            except BadOptions as error:
                refused[entry["id"]] = (listed, str(error))
                continue
            assert answer in choices and answer == entry["index2ans"][entry["answer"]].strip()
            asked += 1
    reason = "one of its options reads as the letter of another"
    assert refused == {"validation_Basic_Medical_Science_17": (["E", "B", "C", "A"], reason)}
    # 28 + 30 multiple-choice questions, less the one
    assert asked == 57


def test_missing_files_and_columns_are_named(tmp_path):
    mmmu = readers.load_reader("mmmu")
    with pytest.raises(UserError, match="no parquet or JSON file with 'validation' in its name"):
        list(mmmu.rows(tmp_path, "test"))
    pq.write_table(
        pa.table({"id": ["validation_Pharmacy_1"], "text": ["?"]}), tmp_path / "validation.parquet"
    )
    with pytest.raises(UserError, match="lacks question, options, answer, question_type; it has id, text"):
        list(mmmu.rows(tmp_path, "test"))
    (tmp_path / "validation.parquet").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UserError, match="git-lfs pointer"):
        list(mmmu.rows(tmp_path, "test"))
