"""Fixtures of the question readers: RULE's real files where they are, and miniature copies of phantoms for the rest.

Every report, name and field in a miniature is invented, and every image is noise.
"""

import csv
import io
import json
import struct
import zlib

import numpy as np
import pytest

from medical_rl.data.prepare import readers
from medical_rl.data.rows import Drops
from medical_rl.images import encode_png


@pytest.fixture(scope="session")
def real(realdata):
    """A function from a file's name to its path among the real ones of IU-Xray."""
    return lambda name: realdata / "iu_xray" / name


@pytest.fixture
def drops():
    return Drops()


@pytest.fixture
def reasons(drops):
    """A function that gives {reason: rows} of what was dropped so far."""
    return lambda: {reason: entry["rows"] for reason, entry in drops.summary().items()}


@pytest.fixture
def phantom():
    """A function that makes a small PNG of noise, another for each number."""
    return lambda number=0: encode_png(np.random.default_rng(number).integers(0, 256, (6, 5), dtype=np.uint8))


@pytest.fixture
def bomb():
    """A PNG of 2 kB whose header promises 50,000 x 50,000 pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(2000)))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def ask():
    """A function that makes one row of a question file, invented and marked as a phantom."""

    def make(number, image, answer="No.", question="Is the phantom's heart enlarged? \n<image>", **changes):
        row = {
            "question": question,
            "answer": answer,
            "image": image,
            "question_id": number,
            "report": "Phantom report.",
        }
        return {key: value for key, value in {**row, **changes}.items() if value is not ...}

    return make


@pytest.fixture
def write():
    """A function that writes rows (or raw lines) as JSON lines and gives the path."""

    def lines(path, rows):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8"
        )
        return path

    return lines


@pytest.fixture
def put():
    """A function that writes bytes to a path, folders included."""

    def file(path, data):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return file


@pytest.fixture
def table():
    """A function that writes a CSV from dicts."""

    def file(path, rows):
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.getvalue(), "utf-8")
        return path

    return file


@pytest.fixture
def everything(drops):
    """A function that reads all splits of a reader: {split: samples}, drops collected."""

    def read(module, source, **options):
        return {split: list(module.rows(source, split, drops=drops, **options)) for split in module.SPLITS}

    return read


@pytest.fixture
def iu_xray():
    return readers.load_reader("iu_xray")


@pytest.fixture
def fairvlmed():
    return readers.load_reader("fairvlmed")


@pytest.fixture
def mimic_cxr():
    return readers.load_reader("mimic_cxr")
