"""Texts that two splits share: a case description is a leak, a form and a generic question are none."""

import dataclasses

import pytest

from medical_rl.data.inspect import check
from medical_rl.data.prepare import prepare

VIGNETTE = (
    "A woman of 54 with a dry cough " + " ".join(f"and finding {i}" for i in range(10)) + ": what is it?"
)
GENERIC = "Is the heart enlarged?"


def bare(row, question=GENERIC, **meta):
    return dataclasses.replace(row, images=(), question=question, meta=meta)


@pytest.mark.parametrize("group", ["patient 0", "patient 1"])
def test_a_case_description_twice_in_train_and_once_in_test_is_a_leak(folder, clean, found_in, group):
    for index, of in ((0, "patient 0"), (1, group)):
        clean["train"][index] = dataclasses.replace(clean["train"][index], question=VIGNETTE, group=of)
    clean["test"][0] = dataclasses.replace(clean["test"][0], question=VIGNETTE)
    (finding,) = found_in(folder(clean))["shared_text"]
    assert finding.level == "leak" and finding.message == "1 questions are in both train and test."


def test_a_long_text_asked_of_three_patients_of_one_split_is_a_form(folder, clean, found_in):
    for split, index in (("train", 0), ("train", 1), ("train", 2), ("test", 0)):
        clean[split][index] = dataclasses.replace(clean[split][index], question=VIGNETTE)
    assert found_in(folder(clean)) == {}


@pytest.mark.parametrize(("more", "accused"), [((), True), (("test", 1), False)])
def test_a_form_that_the_draw_divided_evenly_is_none_and_a_case_of_four_rows_is_a_leak(
    folder, clean, found_in, more, accused
):
    # Two groups in train, one in val, one in test: four; as Med-R1's real Fundus files have it, 2 + 2 + 1: five.
    for split, index in (("train", 0), ("train", 1), ("val", 0), ("test", 0), *([more] if more else [])):
        clean[split][index] = dataclasses.replace(clean[split][index], question=VIGNETTE)
    assert ("shared_text" in found_in(folder(clean))) == accused


def test_generic_questions_about_different_absent_images_are_not_accused(folder, clean, found_in):
    rows = {split: [bare(s, image=f"{s.group}.png") for s in samples] for split, samples in clean.items()}
    assert found_in(folder(rows)) == {}
    rows["test"][0] = bare(rows["test"][0], image="patient 3.png")
    (finding,) = found_in(folder(rows))["shared_text"]
    assert finding.level == "leak"


def test_of_rows_without_image_and_name_only_a_long_text_is_a_leak(folder, clean, found_in):
    rows = {
        split: [bare(s, f"Is {s.id} so?", report=f"Report of {s.id}.") for s in samples]
        for split, samples in clean.items()
    }
    for report, level in (("Lungs clear.", "warning"), (VIGNETTE, "leak")):
        for split in ("train", "test"):
            rows[split][0] = bare(rows[split][0], report=report)
        path = folder(rows)
        (finding,) = found_in(path)["shared_text"]
        assert finding.level == level and check.check_folder(path).exit_code == (level == "leak")


def test_the_real_questions_without_images_are_not_accused(realdata, tmp_path, prompt, found_in):
    (tmp_path / "q.jsonl").write_bytes((realdata / "iu_xray/rule_iuxray_test.jsonl").read_bytes())
    data = {"reader": "iu_xray", "source": str(tmp_path), "params": {"require_images": False}}
    prepare.prepare(data, prompt, tmp_path / "out", 0, 1)
    assert "shared_text" not in found_in(tmp_path / "out")
