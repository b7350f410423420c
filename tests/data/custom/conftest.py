"""A user's own set, made in a moment: a table in any form with a picture for every image that it names."""

import csv
import json

import numpy as np
import pytest

from medical_rl.data.prepare import readers
from medical_rl.data.rows import Drops
from medical_rl.images import encode_png


@pytest.fixture
def custom():
    return readers.load_reader("custom")


@pytest.fixture
def picture():
    """A function that makes a PNG of 10 x 20 pixels, all of one grey level."""
    return lambda number: encode_png(np.full((10, 20), number, np.uint8))


@pytest.fixture
def table(tmp_path, picture):
    """A function that writes rows to `<tmp>/set/<name>` with a picture for every image they name."""

    def make(rows, name="data.csv", images=True):
        path = tmp_path / "set" / name
        path.parent.mkdir(exist_ok=True)
        if name.endswith(".csv"):
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, fieldnames=list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        elif name.endswith(".jsonl"):
            path.write_text(
                "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
            )
        else:
            path.write_text(json.dumps(rows), encoding="utf-8")
        for number, row in enumerate(rows if images else ()):
            names = row["image"] if isinstance(row["image"], list) else [row["image"]]
            for file in (path.parent / each for each in names):
                if ".." not in str(file) and not file.exists():
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(picture(number))
        return path

    return make


@pytest.fixture
def rows():
    """A function that makes `n` rows, two classes in turn; `changes` are functions of a row's number."""

    def make(n=20, **changes):
        answers = ("normal", "pneumonia")
        found = [
            {"image": f"scans/ü {i}.png", "answer": answers[i % 2], "question": "Which?"} for i in range(n)
        ]
        return [{**row, **{key: value(i) for key, value in changes.items()}} for i, row in enumerate(found)]

    return make


@pytest.fixture
def read(custom):
    """A function that gives ({split: samples}, {reason: rows dropped}) of a source."""

    def make(source, **params):
        drops = Drops()
        found = {split: list(custom.rows(source, split, drops=drops, **params)) for split in custom.SPLITS}
        return found, {reason: entry["rows"] for reason, entry in drops.summary().items()}

    return make


@pytest.fixture
def everything():
    """A function from {split: samples} to all samples."""
    return lambda found: [sample for samples in found.values() for sample in samples]
