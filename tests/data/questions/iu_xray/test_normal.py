"""IU-Xray asked whether a study is normal, and which of several files is an image."""

import collections

import pytest

from medical_rl.data_preprocess import iu_xray as iu_reader
from medical_rl.data_preprocess.iu_xray import studies
from medical_rl.data_preprocess.iu_xray.studies import Study


@pytest.mark.parametrize(
    ("terms", "answer"),
    [
        (("Catheters, Indwelling/right",), None),
        (("Surgical Instruments/abdomen/right", "Tube, Inserted"), None),
        (("normal", "Medical Device"), None),
        (("Implanted Medical Device/left", "Technical Quality of Image Unsatisfactory"), None),
        (("Implanted Medical Device/left", "Cardiomegaly/mild"), "yes"),
        (("normal",), "no"),
    ],
)
def test_a_device_alone_makes_a_study_neither_normal_nor_abnormal(terms, answer):
    assert iu_reader.answer(Study("1", terms)) == answer


def test_asked_whether_a_study_is_normal_the_real_tables_give_1379_noes_and_drop_90_devices(
    iu_xray, real, everything, reasons
):
    folder = real(studies.REPORTS).parent
    found = everything(iu_xray, folder, ask="normal", require_images=False)
    answers = collections.Counter(s.answer for samples in found.values() for s in samples)
    assert answers == {"no": 1379, "yes": 2284}
    # Counted with csv alone: 85 have a clip, a port, a line or the like only, 5 more sutures or a breast implant.
    # 1,379 + 2,284 + 92 + 6 + 90 = 3,851
    assert reasons() == {iu_reader.NOT_INDEXED: 92, iu_reader.ONLY_QUALITY: 6, iu_reader.ONLY_DEVICE: 90}
    assert {split: len(samples) for split, samples in found.items()} == {
        "train": 2931,
        "val": 366,
        "test": 366,
    }


@pytest.fixture
def copies(tmp_path, put, phantom, write, ask):
    """R2Gen's images of two studies and a question each, and another copy of both images in a second folder."""
    for study in (1, 2):
        for place in ("a", "b"):
            put(tmp_path / f"{place}/CXR{study}_IM-000{study}/0.png", phantom(study))
    write(tmp_path / "q.jsonl", [ask(study, f"CXR{study}_IM-000{study}/0.png") for study in (1, 2)])
    return tmp_path


def test_equal_copies_of_an_image_are_one_and_different_ones_are_told(
    iu_xray, copies, put, phantom, everything, reasons
):
    assert sum(map(len, everything(iu_xray, copies).values())) == 2 and not reasons()
    put(copies / "b/CXR1_IM-0001/0.png", phantom(3))
    (kept,) = (s for samples in everything(iu_xray, copies).values() for s in samples)
    assert kept.group == "CXR2" and reasons() == {"several files that differ could be its image": 1}
