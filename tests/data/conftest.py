"""Fixtures of the data tests: samples made by code, miniature npz files, and real files where they are."""

import io
import types

import numpy as np
import pytest
from PIL import Image

from medical_rl.data.prepare import readers
from medical_rl.data.rows import Drops
from medical_rl.images import encode_png
from medical_rl.sample import Sample


@pytest.fixture(scope="session")
def pneumonia(realdata):
    """The real PneumoniaMNIST file, whose train split a mirror cut to 3,882 rows."""
    return realdata / "medmnist/pneumoniamnist.npz"


@pytest.fixture
def bare():
    """The shortest prompt there is."""
    return {"name": "bare", "template": "{{ question }}", "system": None, "target": "{{ answer }}"}


@pytest.fixture
def medmnist():
    """The reader module, loaded as `prepare` loads it."""
    return readers.load_reader("medmnist")


@pytest.fixture
def make_sample():
    """A function that makes one sample; `images` is a number of 2 x 3 pictures."""

    def make(id="1", images=1, **fields):
        defaults = {"source": "demo", "question": "Which?", "kind": "label", "answer": "a", "split": "train"}
        pictures = tuple(encode_png(np.full((2, 3), i, np.uint8)) for i in range(images))
        return Sample(id=str(id), images=pictures, **{**defaults, **fields})

    return make


@pytest.fixture
def mini_arrays():
    """A function that makes the six arrays of a tiny grey MedMNIST: 12 train, 4 val, 6 test rows, labels 0, 1, 0, 1, ..."""

    def make(size=8, channels=1, classes=2, **changes):
        rng = np.random.default_rng(0)
        arrays = {}
        for split, n in {"train": 12, "val": 4, "test": 6}.items():
            shape = (n, size, size) if channels == 1 else (n, size, size, channels)
            arrays[f"{split}_images"] = rng.integers(0, 256, shape, dtype=np.uint8)
            arrays[f"{split}_labels"] = (np.arange(n, dtype=np.uint8) % classes)[:, None]
        return {key: value for key, value in {**arrays, **changes}.items() if value is not None}

    return make


@pytest.fixture
def mini(tmp_path, mini_arrays):
    """A function that writes those arrays to `<tmp>/<name>` and gives the path."""

    def make(name="pneumoniamnist.npz", **options):
        path = tmp_path / name
        np.savez_compressed(path, **mini_arrays(**options))
        return path

    return make


@pytest.fixture
def config(mini):
    """A function that makes a data configuration over the miniature file, with changes."""

    def make(**changes):
        base = {
            "name": "mini",
            "reader": "medmnist",
            "source": str(mini()),
            "params": {"allow_altered": True},
            "shots": None,
            "limit": None,
            "test_per_class": None,
            "train_repeat": True,
        }
        return {**base, **changes}

    return make


@pytest.fixture
def toy(monkeypatch, make_sample):
    """A function that registers reader "toy" over {split: samples}, which drops {row: reason}, and gives its configuration."""

    def make(rows, dropped=(), **about):
        dropped = dict(dropped)
        module = types.ModuleType("toy")
        module.__file__ = __file__
        module.SPLITS = tuple(rows)

        def read(source, split, *, drops=None, **params):
            for row, reason in dropped.items():
                drops.add(row, reason)
            return iter(rows[split])

        module.rows = read
        module.describe = lambda source, **params: {"source": "toy", **about}
        monkeypatch.setattr(readers, "load_reader", lambda name: module)
        return {"name": "toy", "reader": "toy", "source": None}

    return make


@pytest.fixture
def three_splits(make_sample):
    return {
        split: [make_sample(f"{split}/{i}", split=split) for i in range(3)]
        for split in ("train", "val", "test")
    }


@pytest.fixture
def image_bytes():
    """A function that makes an image file's bytes, of `height` x `width`, unlike those of any other `seed`."""

    def make(seed=0, height=8, width=10, format="PNG"):
        buffer = io.BytesIO()
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, format=format)
        return buffer.getvalue()

    return make


@pytest.fixture
def put(tmp_path):
    """A function that writes text or bytes to `<tmp>/source/<name>`, folders made, and gives the path."""

    def write(name, content):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def read_all():
    """A function that gives ({split: samples}, {row: why it was dropped}) of a reader over all its splits."""

    def read(reader, source, **params):
        drops = Drops()
        samples = {split: list(reader.rows(source, split, drops=drops, **params)) for split in reader.SPLITS}
        return samples, {row: reason for row, (reason, _) in drops._rows.items()}

    return read
