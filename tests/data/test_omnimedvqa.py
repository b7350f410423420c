"""OmniMedVQA: miniature copies with the quirks of the published files, and Med-R1's real split files."""

import json

import numpy as np
import pytest

from medical_rl.data import omnimedvqa_files as files
from medical_rl.data import readers
from medical_rl.data.drops import Drops
from medical_rl.data.images import encode_png
from medical_rl.data.options import BadOptions
from medical_rl.errors import UserError


@pytest.fixture
def omni():
    return readers.load_reader("omnimedvqa")


def picture(number):
    return encode_png(np.full((4, 6), number, np.uint8))


@pytest.fixture
def source(tmp_path):
    """A function that writes {dataset: rows} to QA_information and a picture to every image path that is not there."""

    def make(access="Open-access", **datasets):
        folder = tmp_path / "OmniMedVQA"
        (folder / "Images").mkdir(parents=True, exist_ok=True)
        for name, rows in datasets.items():
            path = folder / "QA_information" / access / f"{name.replace('_', ' ')}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(rows), encoding="utf-8")
            for number, row in enumerate(rows):
                image = folder / row["image_path"]
                if ".." not in row["image_path"] and not image.exists():
                    image.parent.mkdir(parents=True, exist_ok=True)
                    image.write_bytes(picture(len(list(folder.rglob("*.png"))) + number))
        return folder

    return make


def row(number=0, **changes):
    base = {
        "dataset": "Chest CT Scan",
        "question_id": f"q{number}",
        "question_type": "Disease Diagnosis",
        "question": "What does it show?",
        "gt_answer": "Normal",
        "image_path": f"Images/Chest CT Scan/train/{number} (1).png",
        "option_A": "Adenocarcinoma, left lobe",
        "option_B": "Normal",
        "option_C": "Squamous cell carcinoma",
        "option_D": "Large cell carcinoma",
        "modality_type": "CT(Computed Tomography)",
    }
    return {key: value for key, value in {**base, **changes}.items() if value != "absent"}


def every(reader, source, **params):
    drops = Drops()
    found = {split: list(reader.rows(source, split, drops=drops, **params)) for split in reader.SPLITS}
    return found, drops.summary()


def one(reader, source, **params):
    """The only sample of a source with one row, which is in train."""
    found, dropped = every(reader, source, **params)
    (sample,) = found["train"]
    assert not found["val"] and not found["test"] and not dropped
    return sample


def test_a_row_is_a_choice_with_its_options_and_its_image_as_it_came(omni, source):
    folder = source(a=[row()])
    s = one(omni, folder)
    assert (s.kind, s.answer, s.id, s.source) == ("choice", "Normal", "q0", "omnimedvqa")
    assert s.choices[0] == "Adenocarcinoma, left lobe" and len(s.choices) == 4
    assert s.images == ((folder / row()["image_path"]).read_bytes(),) and s.size == (4, 6)
    assert s.group == "Chest CT Scan/train/0 (1).png" and not s.restricted
    assert s.meta["modality"] == "CT(Computed Tomography)"


@pytest.mark.parametrize("missing", ["absent", None, "", "  "])
def test_options_that_are_absent_null_or_empty_are_not_offered(omni, source, missing):
    s = one(omni, source(a=[row(option_C=missing, option_D=missing)]))
    assert s.choices == ("Adenocarcinoma, left lobe", "Normal")


@pytest.mark.parametrize("gold", ["normal", "Normal.", " NORMAL ", "normal ."])
def test_an_answer_that_differs_by_case_or_a_final_dot_is_its_option(omni, source, gold):
    assert one(omni, source(a=[row(gt_answer=gold)])).answer == "Normal"


def test_a_repeated_option_is_offered_once(omni, source):
    s = one(omni, source(a=[row(option_D="normal.")]))
    assert s.choices == ("Adenocarcinoma, left lobe", "Normal", "Squamous cell carcinoma")


def test_the_one_row_with_the_key_modality_and_the_misspelt_mri_are_read(omni, source):
    assert one(omni, source(a=[row(modality_type="absent", modality="CT")])).meta["modality"] == "CT"
    s = one(omni, source(a=[row(modality_type="MR (Mag-netic Resonance Imaging)")]))
    assert s.meta["modality"] == "MR (Magnetic Resonance Imaging)"


UNUSABLE = [
    ({"gt_answer": "Pneumonia"}, "its answer is none of its options"),
    ({"gt_answer": None}, "its answer is none of its options"),
    ({"option_B": None, "option_C": None, "option_D": None}, "it has 1 different options, not 2 to 10"),
    ({"option_C": "(Normal)"}, "two of its options differ in punctuation only"),
    ({"option_C": "A"}, "one of its options reads as the letter of another"),
    ({"image_path": "Images/../../secret.png"}, "the path of its image leaves the image folder"),
    ({"image_path": "/etc/hostname"}, "the path of its image leaves the image folder"),
    ({"image_path": "Images/gone.png"}, "its image is not in the folder"),
]


@pytest.mark.parametrize(("changes", "reason"), UNUSABLE, ids=[reason for _, reason in UNUSABLE])
def test_a_row_that_cannot_be_used_is_told_with_its_reason(omni, source, changes, reason):
    folder = source(a=[row(i) for i in range(20)])
    rows = [row(i) for i in range(20)] + [row(99, **changes)]
    (folder / "QA_information/Open-access/a.json").write_text(json.dumps(rows))
    found, dropped = every(omni, folder)
    assert sum(map(len, found.values())) == 20
    assert {why: entry["rows"] for why, entry in dropped.items()} == {reason: 1}
    assert "q99" in dropped[reason]["examples"][0]


def test_broken_images_are_told_each_with_its_row(omni, source):
    folder = source(a=[row(i) for i in range(20)])
    image = folder / "Images/Chest CT Scan/train"
    whole = encode_png(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    (image / "0 (1).png").write_bytes(whole[: len(whole) // 2])
    (image / "1 (1).png").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    bomb = encode_png(np.zeros((1, 1), np.uint8))
    (image / "2 (1).png").write_bytes(bomb[:16] + (60_000).to_bytes(4, "big") * 2 + bomb[24:])
    (image / "3 (1).png").write_bytes(b"")
    found, dropped = every(omni, folder)
    assert sum(map(len, found.values())) == 16
    assert sum(entry["rows"] for entry in dropped.values()) == 4
    told = " ".join(example for entry in dropped.values() for example in entry["examples"])
    assert all(f"q{i}" in told for i in range(4)) and "git-lfs" in " ".join(dropped)


def test_splits_are_by_image_seeded_and_share_nothing(omni, source):
    # 40 images with 3 questions each; 10 % of 40 are 4 images for val and 4 for test.
    rows = [
        row(3 * i + j, question=f"Question {j}?", image_path=f"Images/x/{i}.png") for i in range(40) for j in range(3)
    ]
    folder = source(a=rows)
    found, _ = every(omni, folder)
    assert {split: len(samples) for split, samples in found.items()} == {"train": 96, "val": 12, "test": 12}
    groups = {split: {s.group for s in samples} for split, samples in found.items()}
    assert not groups["train"] & groups["test"] and not groups["val"] & (groups["test"] | groups["train"])
    again, _ = every(omni, folder)
    other, _ = every(omni, folder, split_seed=1)
    assert again == found and {s.id for s in other["test"]} != {s.id for s in found["test"]}
    path = folder / "QA_information/Open-access/a.json"
    path.write_text(json.dumps(rows[::-1]))
    assert {s.id for s in omni.rows(folder, "test")} == {s.id for s in found["test"]}


def test_two_files_with_the_same_bytes_are_one_image(omni, source):
    rows = [row(i, image_path=f"Images/{'ab'[i % 2]}/{i // 2}.png") for i in range(60)]
    folder = source(a=rows)
    for i in range(30):
        (folder / f"Images/b/{i}.png").write_bytes((folder / f"Images/a/{i}.png").read_bytes())
    found, _ = every(omni, folder)
    images = {split: {s.images for s in samples} for split, samples in found.items()}
    assert len(images["train"] | images["val"] | images["test"]) == 30
    assert not images["train"] & images["test"] and not images["train"] & images["val"]


def test_repeated_ids_and_rows_are_left_out(omni, source):
    rows = [row(i) for i in range(20)] + [row(3, question="Another?"), row(50, image_path=row(4)["image_path"])]
    found, dropped = every(omni, source(a=rows))
    assert sum(map(len, found.values())) == 20
    assert set(dropped) == {"its id is taken by another row", "it repeats another row about the same image"}


def test_restricted_rows_say_so_and_are_read_only_when_asked_for(omni, source):
    folder = source(a=[row(0)])
    source("Restricted-access", b=[row(1, image_path="Images/r/1.png")])
    assert [s.id for s in omni.rows(folder, "train")] == ["q0"]
    assert [(s.id, s.restricted) for s in omni.rows(folder, "train", access="restricted")] == [("q1", True)]
    assert len(list(omni.rows(folder, "train", access="all"))) == 2


def test_rows_can_be_chosen_by_modality_and_a_wrong_name_lists_those_there_are(omni, source):
    folder = source(a=[row(0), row(1, modality_type="X-Ray")])
    assert [s.id for s in omni.rows(folder, "train", modalities=["X-Ray"])] == ["q1"]
    with pytest.raises(UserError, match=r"CT\(Computed Tomography\), X-Ray"):
        omni.rows(folder, "train", modalities=["XRay"])


def test_wrong_keys_and_wrong_files_are_named(omni, source, tmp_path):
    folder = source(a=[row(0)])
    path = folder / "QA_information/Open-access/a.json"
    path.write_text('[{"question": "?"}]')
    with pytest.raises(UserError, match="a.json lacks question_id, gt_answer, image_path; it has question"):
        omni.rows(folder, "train")
    path.write_text("{not json")
    with pytest.raises(UserError, match="a.json cannot be read as JSON"):
        omni.rows(folder, "train")
    with pytest.raises(UserError, match="There is no folder"):
        omni.rows(tmp_path / "gone", "train")
    with pytest.raises(UserError, match="'dev'.*test, train, val"):
        omni.rows(folder, "dev")


# --- Med-R1 -------------------------------------------------------------------------------------

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
    assert files.split_problem(problem) == parts


@pytest.mark.parametrize("problem", ["no options", "A) only one", ""])
def test_a_problem_without_options_is_refused(problem):
    with pytest.raises(BadOptions, match="cannot be told apart"):
        files.split_problem(problem)


@pytest.mark.parametrize("solution", ["<answer> E </answer>", "<answer> C", "C", "<answer> CT </answer>", None])
def test_a_gold_letter_that_names_no_option_is_refused(solution):
    with pytest.raises(BadOptions, match="the letter of no option"):
        files.from_med_r1({"image": "i", "problem": "Which? A)x, B)y, C)z, D)w", "solution": solution}, "f", 0)


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
    rows = files.records(realdata / f"omnimedvqa/{name}.json")
    questions = [files.from_med_r1(row, name, index) for index, row in enumerate(rows)]
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
        row["image"] for part in ("train", "test") for row in files.records(realdata / f"omnimedvqa/Fundus_{part}.json")
    }
    for number, name in enumerate(sorted(names)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode_png(np.array([[[number % 256, number // 256, 0]]], np.uint8)))
    return folder


def test_the_real_overlap_is_dropped_and_told(omni, fundus, realdata):
    found, dropped = every(omni, fundus, med_r1=realdata / "omnimedvqa", tasks=["Fundus"])
    # 4,300 training rows, 106 of them about the 106 images that are in test too.
    assert {split: len(samples) for split, samples in found.items()} == {"train": 3773, "val": 421, "test": 1098}
    assert {why: entry["rows"] for why, entry in dropped.items()} == {"its image is also in the test file": 106}
    images = {split: {s.group for s in samples} for split, samples in found.items()}
    assert len(images["test"]) == 1085 and not images["test"] & (images["train"] | images["val"])
    notes = omni.describe(fundus, med_r1=realdata / "omnimedvqa", tasks=["Fundus"])["notes"]
    assert "106 of 1,085 test images are also in train" in notes[-1] and "left out" in notes[-1]


def test_the_real_overlap_can_be_kept_and_is_told(omni, fundus, realdata):
    params = {"med_r1": realdata / "omnimedvqa", "tasks": ["Fundus"], "overlap": "keep"}
    found, dropped = every(omni, fundus, **params)
    assert len(found["train"]) + len(found["val"]) == 4300 and not dropped
    assert "were kept: test accuracy is too high" in omni.describe(fundus, **params)["notes"][-1]


def test_a_task_without_a_file_is_named(omni, fundus, realdata):
    with pytest.raises(UserError, match="no file Retina_test.json. Tasks with a test file: Dermoscopy, Fundus"):
        omni.rows(fundus, "test", med_r1=realdata / "omnimedvqa", tasks=["Retina"])
