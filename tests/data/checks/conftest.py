"""Fixtures of the checks: a clean prepared set to plant things in, and what is found in it."""

import numpy as np
import pytest
from PIL import Image

from medical_rl.data import parquet
from medical_rl.data.inspect import check
from medical_rl.data.prepare import command
from medical_rl.images import encode_png
from medical_rl.sample import Sample


@pytest.fixture
def prompt():
    return command.load_prompt("class_names")


@pytest.fixture
def picture():
    """A function that makes a smooth random picture, as different from another as two photographs."""

    def make(seed, size=64):
        small = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
        return np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC))

    return make


@pytest.fixture
def sample(picture):
    """A function that makes a row of a patient of its own."""

    def make(name, split, seed, **changes):
        base = {
            "id": f"{split}/{name}",
            "source": "demo",
            "question": "What does it show?",
            "kind": "label",
            "answer": "ab"[seed % 2],
            "choices": ("a", "b"),
            "images": (encode_png(picture(seed)),),
            "group": f"patient {seed}",
            "split": split,
        }
        return Sample(**{**base, **changes})

    return make


@pytest.fixture
def clean(sample):
    """{split: rows} that share nothing: 20, 8 and 8 patients with a picture each."""
    sizes, start, found = {"train": 20, "val": 8, "test": 8}, 0, {}
    for split, n in sizes.items():
        found[split] = [sample(i, split, start + i) for i in range(n)]
        start += n
    return found


@pytest.fixture
def folder(tmp_path, prompt):
    """A function that writes {split: rows} as prepared files, with no card."""

    def make(rows):
        for split, samples in rows.items():
            parquet.write_split(samples, tmp_path / "set" / f"{split}.parquet", prompt)
        return tmp_path / "set"

    return make


@pytest.fixture
def found_in():
    """A function that gives {check: [findings that are no notes]} of a folder."""

    def find(path, **options):
        found = {}
        for finding in check.check_folder(path, **options).findings:
            if finding.level != "note":
                found.setdefault(finding.check, []).append(finding)
        return found

    return find
