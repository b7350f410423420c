"""OmniMedVQA's questions: miniature copies with the quirks of the published files."""

import json

import numpy as np
import pytest

from medical_rl.data.prepare import sampling
from medical_rl.errors import UserError
from medical_rl.images import encode_png


def test_a_row_is_a_choice_with_its_options_and_its_image_as_it_came(omni, source, row, one):
    folder = source(a=[row()])
    s = one(omni, folder)
    assert (s.kind, s.answer, s.id, s.source) == ("choice", "Normal", "q0", "omnimedvqa")
    assert s.choices[0] == "Adenocarcinoma, left lobe" and len(s.choices) == 4
    assert s.images == ((folder / row()["image_path"]).read_bytes(),) and s.size == (4, 6)
    assert s.group == "Chest CT Scan/train/0 (1).png" and not s.restricted
    assert s.meta["modality"] == "CT(Computed Tomography)"


@pytest.mark.parametrize("missing", ["absent", None, "", "  "])
def test_options_that_are_absent_null_or_empty_are_not_offered(omni, source, missing, row, one):
    s = one(omni, source(a=[row(option_C=missing, option_D=missing)]))
    assert s.choices == ("Adenocarcinoma, left lobe", "Normal")


@pytest.mark.parametrize("gold", ["normal", "Normal.", " NORMAL ", "normal ."])
def test_an_answer_that_differs_by_case_or_a_final_dot_is_its_option(omni, source, gold, row, one):
    assert one(omni, source(a=[row(gt_answer=gold)])).answer == "Normal"


def test_a_repeated_option_is_offered_once(omni, source, row, one):
    s = one(omni, source(a=[row(option_D="normal.")]))
    assert s.choices == ("Adenocarcinoma, left lobe", "Normal", "Squamous cell carcinoma")


def test_the_one_row_with_the_key_modality_and_the_misspelt_mri_are_read(omni, source, row, one):
    assert one(omni, source(a=[row(modality_type="absent", modality="CT")])).meta["modality"] == "CT"
    s = one(omni, source(a=[row(modality_type="MR (Mag-netic Resonance Imaging)")]))
    assert s.meta["modality"] == "MR (Magnetic Resonance Imaging)"


UNUSABLE = [
    ({"gt_answer": "Pneumonia"}, "its answer is none of its options"),
    ({"gt_answer": None}, "its answer is none of its options"),
    ({"option_B": None, "option_C": None, "option_D": None}, "it has 1 different options, not 2 to 26"),
    ({"option_C": "A"}, "one of its options reads as the letter of another"),
    ({"image_path": "Images/../../secret.png"}, "the path of its image leaves the image folder"),
    ({"image_path": "/etc/hostname"}, "the path of its image leaves the image folder"),
    ({"image_path": "Images/gone.png"}, "its image is not in the folder"),
]


@pytest.mark.parametrize(("changes", "reason"), UNUSABLE, ids=[reason for _, reason in UNUSABLE])
def test_a_row_that_cannot_be_used_is_told_with_its_reason(omni, source, changes, reason, row, every):
    folder = source(a=[row(i) for i in range(20)])
    rows = [row(i) for i in range(20)] + [row(99, **changes)]
    (folder / "QA_information/Open-access/a.json").write_text(json.dumps(rows))
    found, dropped = every(omni, folder)
    assert sum(map(len, found.values())) == 20
    assert {why: entry["rows"] for why, entry in dropped.items()} == {reason: 1}
    assert "q99" in dropped[reason]["examples"][0]


def test_broken_images_are_told_each_with_its_row(omni, source, row, every):
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


def test_splits_are_by_image_seeded_and_share_nothing(omni, source, row, every):
    # 40 images with 3 questions each; 10 % of 40 are 4 images for val and 4 for test.
    rows = [
        row(3 * i + j, question=f"Question {j}?", image_path=f"Images/x/{i}.png")
        for i in range(40)
        for j in range(3)
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


def test_two_files_with_the_same_bytes_are_one_image(omni, source, row, every):
    rows = [row(i, image_path=f"Images/{'ab'[i % 2]}/{i // 2}.png") for i in range(60)]
    folder = source(a=rows)
    for i in range(30):
        (folder / f"Images/b/{i}.png").write_bytes((folder / f"Images/a/{i}.png").read_bytes())
    found, _ = every(omni, folder)
    images = {split: {s.images for s in samples} for split, samples in found.items()}
    assert len(images["train"] | images["val"] | images["test"]) == 30
    assert not images["train"] & images["test"] and not images["train"] & images["val"]


def test_repeated_ids_and_rows_are_left_out(omni, source, row, every):
    rows = [row(i) for i in range(20)] + [
        row(3, question="Another?"),
        row(50, image_path=row(4)["image_path"]),
    ]
    found, dropped = every(omni, source(a=rows))
    assert sum(map(len, found.values())) == 20
    assert set(dropped) == {"its id is taken by another row", "it repeats another row about the same image"}


def test_restricted_rows_say_so_and_are_read_only_when_asked_for(omni, source, row):
    folder = source(a=[row(0)])
    source("Restricted-access", b=[row(1, image_path="Images/r/1.png")])
    assert [s.id for s in omni.rows(folder, "train")] == ["q0"]
    assert [(s.id, s.restricted) for s in omni.rows(folder, "train", access="restricted")] == [("q1", True)]
    assert len(list(omni.rows(folder, "train", access="all"))) == 2


def test_rows_can_be_chosen_by_modality_and_a_wrong_name_lists_those_there_are(omni, source, row):
    folder = source(a=[row(0), row(1, modality_type="X-Ray")])
    assert [s.id for s in omni.rows(folder, "train", modalities=["X-Ray"])] == ["q1"]
    with pytest.raises(UserError, match=r"modality of OmniMedVQA 'PET'.*CT\(Computed Tomography\), X-Ray"):
        omni.rows(folder, "train", modalities=["PET"])


def test_one_wrong_name_among_right_ones_is_refused_and_one_name_needs_no_list(omni, source, row):
    folder = source(a=[row(0), row(1, dataset="D1", question_type="Modality Recognition")])
    with pytest.raises(UserError, match="no dataset of OmniMedVQA 'D7'.*Available: Chest CT Scan, D1"):
        omni.rows(folder, "train", datasets=["D1", "D7"])
    assert [s.id for s in omni.rows(folder, "train", datasets="D1")] == ["q1"]
    with pytest.raises(
        UserError, match="No question has all that is asked for: dataset D1; question_type Disease"
    ):
        omni.rows(folder, "train", datasets=["D1"], question_types=["Disease Diagnosis"])


def test_a_modality_can_be_asked_for_as_the_files_misspell_it(omni, source, row):
    misspelt = "MR (Mag-netic Resonance Imaging)"
    folder = source(a=[row(0), row(1, modality_type=misspelt)])
    for name in (misspelt, "MR (Magnetic Resonance Imaging)"):
        assert [s.id for s in omni.rows(folder, "train", modalities=[name])] == ["q1"]


def test_wrong_keys_and_wrong_files_are_named(omni, source, tmp_path, row):
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


ALIASES = {
    "MRI": "MR (Mag-netic Resonance Imaging)", "ct": "CT(Computed Tomography)", "XRay": "X-Ray", "Fundus": "Fundus Photography",
    "OCT": "OCT (Optical Coherence Tomography", "Ultrasound": "ultrasound", "Microscopy": "Microscopy Images",
    "dermatoscopy": "Dermoscopy",
}  # fmt: skip


@pytest.mark.parametrize("asked", ALIASES)
def test_a_modality_has_the_names_that_people_give_it(omni, source, row, asked):
    folder = source(a=[row(i, modality_type=name) for i, name in enumerate(ALIASES.values())])
    (sample,) = [
        s
        for split in omni.SPLITS
        for s in omni.rows(folder, split, modalities=[asked], val_share=0, test_share=0)
    ]
    assert sample.id == f"q{list(ALIASES).index(asked)}"


def test_train_where_takes_the_same_names_and_an_empty_match_is_refused(omni, source, row):
    folder = source(a=[row(i, modality_type=name) for i, name in enumerate(ALIASES.values())])
    rows = list(omni.rows(folder, "train", val_share=0, test_share=0))
    for asked, number in zip(ALIASES, range(8), strict=True):
        assert [s.id for s in sampling.where(iter(rows), {"modality": [asked]})] == [f"q{number}"]
    for wrong in ("M", "MR imaging of CT", "PET"):
        with pytest.raises(UserError, match="keeps no row of train. There are modality: "):
            list(sampling.where(iter(rows), {"modality": [wrong]}))
