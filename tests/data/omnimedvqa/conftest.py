"""Miniature copies of OmniMedVQA with the quirks of the published files, and pictures for Med-R1's real split files."""

import json

import numpy as np
import pytest

from medical_rl.data.prepare import readers
from medical_rl.data.rows import Drops
from medical_rl.images import encode_png


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


@pytest.fixture
def row():
    """A function that makes a row of QA_information; "absent" leaves a key out."""

    def make(number=0, **changes):
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

    return make


@pytest.fixture
def every():
    """A function that gives ({split: samples}, what was dropped) of a reader."""

    def make(reader, source, **params):
        drops = Drops()
        found = {split: list(reader.rows(source, split, drops=drops, **params)) for split in reader.SPLITS}
        return found, drops.summary()

    return make


@pytest.fixture
def one(every):
    """A function that gives the only sample of a source with one row, which is in train."""

    def make(reader, source, **params):
        found, dropped = every(reader, source, **params)
        (sample,) = found["train"]
        assert not found["val"] and not found["test"] and not dropped
        return sample

    return make
