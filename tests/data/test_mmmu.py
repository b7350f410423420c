"""MMMU's medical subjects: miniature parquet and JSON copies, and the real gold answers and options there are."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medical_rl.data import prompts
from medical_rl.data.prepare import readers
from medical_rl.data.rows import Drops
from medical_rl.errors import UserError
from medical_rl.images import encode_png
from medical_rl.parsing.response import parse
from medical_rl.rewards.terms.accuracy import accuracy


@pytest.fixture
def mmmu():
    return readers.load_reader("mmmu")


def picture(number):
    return encode_png(np.full((3, 5), number, np.uint8))


def row(name="validation_Pharmacy_1", images=1, **changes):
    base = {
        "id": name,
        "question": "What does <image 1> show?",
        "options": "['Cardiac muscle', \"Bone, it's hard\"]",
        "explanation": "",
        "answer": "B",
        "question_type": "multiple-choice",
        "subfield": "Anatomy",
    }
    cells = {f"image_{n}": {"bytes": picture(n), "path": None} if n <= images else None for n in range(1, 8)}
    return {**base, **cells, **changes}


@pytest.fixture
def folder(tmp_path):
    """A function that writes validation rows, and 5 dev rows, as parquet files in a folder of their subject."""

    def make(*rows):
        dev = [row(f"dev_Pharmacy_{i}", explanation=f"Because {i}.") for i in range(1, 6)]
        for split, content in (("validation", rows), ("dev", dev)):
            path = tmp_path / "MMMU/Pharmacy" / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(list(content) or [row()]), path)
        return tmp_path / "MMMU"

    return make


def read(mmmu, source, **params):
    drops = Drops()
    return list(mmmu.rows(source, "test", drops=drops, **params)), drops.summary()


def test_a_row_is_a_choice_and_its_image_keeps_its_bytes(mmmu, folder):
    ((s,), dropped) = read(mmmu, folder(row()))
    assert (s.kind, s.answer, s.choices) == (
        "choice",
        "Bone, it's hard",
        ("Cardiac muscle", "Bone, it's hard"),
    )
    assert (s.question, s.images, s.size, s.split) == (
        "What does image 1 show?",
        (picture(1),),
        (3, 5),
        "test",
    )
    assert s.meta["subject"] == "Pharmacy" and not dropped


def test_images_come_in_the_order_in_which_the_question_names_them(mmmu, folder):
    ((s,), _) = read(
        mmmu, folder(row(images=3, question="Is <image 3> like <image 1>? Look at <image 3> again."))
    )
    assert s.images == (picture(3), picture(1))
    assert s.question == "Is image 1 like image 2? Look at image 1 again."
    text = prompts.render(s, "{{ question }}")
    assert text.count("<image>") == 2


def test_an_option_may_be_an_image(mmmu, folder):
    options = "['<image 2>', '<image 3>', '<image 4>']"
    ((s,), _) = read(mmmu, folder(row(images=4, options=options, answer="C")))
    assert s.choices == ("image 2", "image 3", "image 4") and s.answer == "image 4" and len(s.images) == 4
    assert accuracy(parse(r"\boxed{C}"), s) == accuracy(parse(r"\boxed{image 4}"), s) == 1.0


def test_ten_options_have_ten_letters(mmmu, folder):
    options = repr([f"option {i}" for i in range(10)])
    ((s,), _) = read(mmmu, folder(row(options=options, answer="J")))
    assert s.answer == "option 9" and accuracy(parse("<answer>J</answer>"), s) == 1.0


def test_an_image_that_no_text_names_is_shown_all_the_same(mmmu, folder):
    ((s,), _) = read(mmmu, folder(row(images=2, question="Which?")))
    assert s.images == (picture(1), picture(2))


CODE = [
    "__import__('pathlib').Path('PWNED').write_text('x')",
    "[open('PWNED', 'w'), 'b']",
    "['a', 'b'",
    "{'a': 1}",
    "['a', 3]",
    "[" * 5000,
    "['a' + 'b', 'c']",
    "(" * 300 + ")" * 300,
    None,
]


@pytest.mark.parametrize("options", CODE, ids=range(len(CODE)))
def test_options_that_are_code_or_no_list_are_dropped_and_never_run(
    mmmu, folder, tmp_path, monkeypatch, options
):
    monkeypatch.chdir(tmp_path)
    rows, dropped = read(mmmu, folder(row(), row("validation_Pharmacy_2", options=options)))
    assert len(rows) == 1
    assert dropped == {
        "its options are not a list of texts": {"rows": 1, "examples": ["validation_Pharmacy_2"]}
    }
    assert not (tmp_path / "PWNED").exists()


UNUSABLE = [
    ({"answer": "C"}, "its answer is the letter of no option"),
    ({"answer": "?"}, "its answer is not public"),
    ({"answer": ""}, "its answer is not public"),
    ({"options": "['one']", "answer": "A"}, "it has 1 different options, not 2 to 26"),
    (
        {"options": repr([f"f{i}" for i in range(27)]), "answer": "A"},
        "it has 27 different options, not 2 to 26",
    ),
    ({"question_type": "open", "options": "[]", "answer": "['']"}, "its list of accepted answers is empty"),
    ({"question_type": "open", "options": "[]", "answer": "[]"}, "its list of accepted answers is empty"),
    ({"question": "See <image 2>."}, "an image that it names is not there"),
    ({"image_1": {"bytes": b"no picture", "path": None}}, "its image cannot be decoded"),
    (
        {"question_type": "open", "options": "[]", "answer": "24/7"},
        "it has no options, and a short answer cannot be graded strictly",
    ),
]


@pytest.mark.parametrize(("changes", "reason"), UNUSABLE, ids=[str(i) for i in range(len(UNUSABLE))])
def test_a_row_that_cannot_be_asked_is_told_with_its_reason(mmmu, folder, changes, reason):
    rows, dropped = read(mmmu, folder(row(), row("validation_Pharmacy_2", **changes)))
    assert len(rows) == 1 and list(dropped) == [reason]
    assert dropped[reason]["examples"][0].startswith("validation_Pharmacy_2")


def test_short_answers_are_labels_without_choices_where_asked_for(mmmu, folder):
    several = row("validation_Pharmacy_2", question_type="open", options="[]", answer="['0.25', '1/4']")
    rows, dropped = read(mmmu, folder(row(), several), short_answers=True)
    assert (rows[1].kind, rows[1].answer, rows[1].choices) == ("label", "0.25", ()) and not dropped
    assert accuracy(parse(r"\boxed{0.25}"), rows[1]) == 1.0 and rows[1].meta["accepted"] == ["0.25", "1/4"]
    assert "accepted" not in rows[0].meta


def test_train_and_val_are_the_dev_set_and_share_nothing(mmmu, folder):
    source = folder(row())
    train, val = (list(mmmu.rows(source, split)) for split in ("train", "val"))
    # 20 % of 5 dev questions a subject
    assert (len(train), len(val)) == (4, 1)
    assert {s.id for s in train} | {s.id for s in val} == {f"dev_Pharmacy_{i}" for i in range(1, 6)}
    assert train[0].meta["thought"].startswith("Because")


def test_other_subjects_are_not_read_and_a_merged_file_is(mmmu, tmp_path):
    path = tmp_path / "data/validation-00000-of-00001.parquet"
    path.parent.mkdir()
    pq.write_table(pa.Table.from_pylist([row("validation_Art_1"), row("validation_Public_Health_1")]), path)
    rows, _ = read(mmmu, tmp_path)
    assert [s.id for s in rows] == ["validation_Public_Health_1"]
    with pytest.raises(UserError, match="'Art'.*Basic_Medical_Science"):
        mmmu.rows(tmp_path, "test", subjects=["Art"])


def test_a_json_copy_names_its_images_by_path_and_may_not_leave_its_folder(mmmu, tmp_path):
    good, bad = (
        row(images=0, image_1="images/ü 1.png"),
        row("validation_Pharmacy_2", images=0, image_1="../x.png"),
    )
    (tmp_path / "set/images").mkdir(parents=True)
    (tmp_path / "set/images/ü 1.png").write_bytes(picture(1))
    (tmp_path / "x.png").write_bytes(picture(2))
    (tmp_path / "set/validation.json").write_text(json.dumps([good, bad]))
    rows, dropped = read(mmmu, tmp_path / "set")
    assert [s.images for s in rows] == [(picture(1),)]
    assert list(dropped) == ["the path of its image leaves the image folder"]
