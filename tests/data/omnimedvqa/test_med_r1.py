"""Med-R1's split files of OmniMedVQA: their form, and what their train and test share."""

import json
from pathlib import Path

import numpy as np
import pytest

from medical_rl.data.inspect import check
from medical_rl.data.options import BadOptions
from medical_rl.data.prepare import command, prepare
from medical_rl.data.sources import tables
from medical_rl.data_preprocess import omnimedvqa
from medical_rl.errors import UserError
from medical_rl.images import encode_png

PROBLEMS = [
    ("Which? A)x, B)y", ("Which?", ["x", "y"])),
    (
        "Which? A)x, y and z, B)COPD (wet, dry), C)(none), D)w.",
        ("Which?", ["x, y and z", "COPD (wet, dry)", "(none)", "w."]),
    ),
    # "(IQA)" and "(AMD)" look like the letters A) and D).
    (
        "Assess (IQA) well. A)AMD (AMD), B)b, C)c (COPD), D)d",
        ("Assess (IQA) well.", ["AMD (AMD)", "b", "c (COPD)", "d"]),
    ),
]


@pytest.mark.parametrize(("problem", "parts"), PROBLEMS)
def test_options_with_commas_and_brackets_are_told_apart(problem, parts):
    assert omnimedvqa.split_problem(problem) == parts


@pytest.mark.parametrize("problem", ["no options", "A) only one", ""])
def test_a_problem_without_options_is_refused(problem):
    with pytest.raises(BadOptions, match="cannot be told apart"):
        omnimedvqa.split_problem(problem)


@pytest.mark.parametrize(
    "solution", ["<answer> E </answer>", "<answer> C", "C", "<answer> CT </answer>", None]
)
def test_a_gold_letter_that_names_no_option_is_refused(solution):
    with pytest.raises(BadOptions, match="the letter of no option"):
        omnimedvqa.from_med_r1(
            {"image": "i", "problem": "Which? A)x, B)y, C)z, D)w", "solution": solution}, Path("f"), 0
        )


@pytest.mark.parametrize(
    ("name", "options"),
    # Counted with a parser of another make (the letters in turn, by regular expression).
    [
        ("Fundus_train", {4: 3854, 3: 102, 2: 344}),
        ("Fundus_test", {4: 983, 3: 20, 2: 95}),
        ("Dermoscopy_test", {4: 1012, 2: 294}),
        ("Microscopy_test", {4: 1023, 2: 87}),
        ("XRay_test", {4: 1568, 2: 47}),
        ("unknown_train", {4: 1}),
    ],
)
def test_every_gold_letter_of_the_real_files_is_valid(realdata, name, options):
    rows = tables.read_objects(realdata / f"omnimedvqa/{name}.json", ())
    questions = [omnimedvqa.from_med_r1(row, Path(name), index) for index, row in enumerate(rows)]
    assert {n: sum(len(q.options) == n for q in questions) for n in options} == options
    assert len(questions) == sum(options.values())
    for row, q in zip(rows, questions, strict=True):
        # The answer stands in the problem right behind its own letter.
        assert f"{row['solution'].split()[1]}){q.answer}" in row["problem"]


@pytest.fixture(scope="module")
def fundus(realdata, tmp_path_factory):
    """The real Fundus files over a picture made for each of their images, all different."""
    folder = tmp_path_factory.mktemp("fundus") / "OmniMedVQA"
    names = {
        row["image"]
        for part in ("train", "test")
        for row in tables.read_objects(realdata / f"omnimedvqa/Fundus_{part}.json", ())
    }
    for number, name in enumerate(sorted(names)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode_png(np.array([[[number % 256, number // 256, 0]]], np.uint8)))
    return folder


def test_the_real_overlap_is_dropped_and_told(omni, fundus, realdata, every):
    found, dropped = every(omni, fundus, med_r1=realdata / "omnimedvqa", tasks=["Fundus"])
    # 4,300 training rows, 106 of them about the 106 images that are in test too.
    assert {split: len(samples) for split, samples in found.items()} == {
        "train": 3773,
        "val": 421,
        "test": 1098,
    }
    assert {why: entry["rows"] for why, entry in dropped.items()} == {
        "its image is also in the test file": 106
    }
    images = {split: {s.group for s in samples} for split, samples in found.items()}
    assert len(images["test"]) == 1085 and not images["test"] & (images["train"] | images["val"])
    notes = omni.describe(fundus, med_r1=realdata / "omnimedvqa", tasks=["Fundus"])["notes"]
    assert "106 of 1,085 test images are also in train" in notes[-1] and "left out" in notes[-1]


def test_the_real_overlap_can_be_kept_and_is_told(omni, fundus, realdata, every):
    params = {"med_r1": realdata / "omnimedvqa", "tasks": ["Fundus"], "overlap": "keep"}
    found, dropped = every(omni, fundus, **params)
    assert len(found["train"]) + len(found["val"]) == 4300 and not dropped
    assert "were kept: test accuracy is too high" in omni.describe(fundus, **params)["notes"][-1]


def test_the_real_files_are_prepared_with_every_answer_proved_and_no_leak_left(fundus, realdata, tmp_path):
    params = {"med_r1": str(realdata / "omnimedvqa"), "tasks": ["Fundus"]}
    data = {"name": "fundus", "reader": "omnimedvqa", "source": str(fundus), "params": params}
    card = prepare.prepare(data, command.load_prompt("multiple_choice"), tmp_path / "out", 0, 1)
    assert {split: facts["rows"] for split, facts in card["splits"].items()} == {
        "train": 3773,
        "val": 421,
        "test": 1098,
    }
    assert "106 of 1,085 test images are also in train" in (tmp_path / "out/README.md").read_text()
    found = check.check_folder(tmp_path / "out", prompt=command.load_prompt("multiple_choice"))
    assert not [finding for finding in found.findings if finding.fails]


def test_a_task_without_a_file_is_named(omni, fundus, realdata):
    with pytest.raises(
        UserError, match="no file Retina_test.json. Tasks with a test file: Dermoscopy, Fundus"
    ):
        omni.rows(fundus, "test", med_r1=realdata / "omnimedvqa", tasks=["Retina"])


@pytest.fixture
def copied(tmp_path):
    """A copy of 30 training images and 8 test images, which are the first 8 under other names."""
    (tmp_path / "Images/X").mkdir(parents=True)
    (tmp_path / "splits").mkdir()
    for split, letter, n in (("train", "a", 30), ("test", "b", 8)):
        names = [f"Images/X/{letter}{i}.png" for i in range(n)]
        for i, name in enumerate(names):
            (tmp_path / name).write_bytes(encode_png(np.full((4, 6), i, np.uint8)))
        listed = [
            {"image": n, "problem": "Which? A)CT, B)MRI", "solution": "<answer> A </answer>"} for n in names
        ]
        (tmp_path / f"splits/X_{split}.json").write_text(json.dumps(listed))
    return tmp_path


def test_an_image_of_test_under_another_name_is_left_out_of_train(omni, copied, every):
    found, dropped = every(omni, copied, med_r1=copied / "splits")
    # 22 training images are left, 10 % of them for val
    assert {split: len(samples) for split, samples in found.items()} == {"train": 20, "val": 2, "test": 8}
    assert dropped["its image is also in the test file"]["rows"] == 8
    assert not {s.images for s in found["test"]} & {s.images for s in found["train"] + found["val"]}
    notes = omni.describe(copied, med_r1=copied / "splits")["notes"]
    assert "8 of 8 test images are also in train; the 8 training rows" in notes[-1]


def test_kept_overlap_is_in_groups_of_its_own(omni, copied, every):
    found, _ = every(omni, copied, med_r1=copied / "splits", overlap="keep")
    groups = {split: {s.group for s in samples} for split, samples in found.items()}
    assert len(found["train"] + found["val"]) == 30 and not groups["test"] & (groups["train"] | groups["val"])


@pytest.mark.parametrize("name", ["datasets", "modalities", "question_types"])
def test_filters_that_med_r1s_files_cannot_answer_are_refused(omni, copied, name):
    with pytest.raises(UserError, match="Choose with tasks"):
        omni.rows(copied, "train", med_r1=copied / "splits", **{name: ["X"]})


def test_an_output_beside_the_split_files_is_prepared_once_and_a_changed_file_seen(
    copied, bare, tmp_path_factory
):
    folder = (copied / "splits").rename(tmp_path_factory.mktemp("med_r1") / "splits")
    data = {"name": "o", "reader": "omnimedvqa", "source": str(copied), "params": {"med_r1": str(folder)}}
    card = prepare.prepare(data, bare, folder / "prepared", 0, 1)
    before = (folder / "prepared/card.json").stat().st_mtime_ns
    assert prepare.prepare(data, bare, folder / "prepared", 0, 1) == card
    assert (folder / "prepared/card.json").stat().st_mtime_ns == before
    path = folder / "X_train.json"
    path.write_text(path.read_text().replace("A)CT, B)MRI", "A)CT, B)X-ray"))
    assert prepare.prepare(data, bare, folder / "prepared", 0, 1)["recipe"] != card["recipe"]
