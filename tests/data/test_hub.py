"""Sets on the Hub: what counts as an id, and rows through `datasets`, whose downloads a stand-in replaces here."""

import datasets
import numpy as np
import pytest

from medical_rl.data.prepare import readers
from medical_rl.data.sources import hub
from medical_rl.errors import UserError
from medical_rl.images import encode_png


def picture(number):
    return encode_png(np.full((3, 5), number, np.uint8))


@pytest.fixture
def online(monkeypatch):
    """A function that puts {split: rows} on a pretended Hub as "owner/set", with an image column `image`."""

    def make(configs=("default",), **splits):
        calls = []

        def load(name, config=None, *, split, revision=None, streaming=False):
            calls.append((name, config, split, revision, streaming))
            features = datasets.Features(
                {
                    key: datasets.Image() if key.startswith("image") else datasets.Value("string")
                    for key in splits[split][0]
                }
            )
            found = datasets.Dataset.from_list(splits[split], features=features)
            return found.to_iterable_dataset() if streaming else found

        monkeypatch.setattr(datasets, "load_dataset", load)
        monkeypatch.setattr(datasets, "get_dataset_config_names", lambda name, revision=None: list(configs))
        monkeypatch.setattr(
            datasets, "get_dataset_split_names", lambda name, config=None, revision=None: list(splits)
        )
        return calls

    return make


def test_a_path_that_exists_is_no_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hub.is_hub_id("owner/set")
    (tmp_path / "owner/set").mkdir(parents=True)
    assert not hub.is_hub_id("owner/set") and hub.is_hub_id("hf://owner/set")
    assert not any(hub.is_hub_id(text) for text in ("", None, "set", "a/b/c", "../x", "/a/b", "~/x", "./x"))


@pytest.mark.parametrize("streaming", [True, False])
def test_images_come_as_their_own_bytes_and_are_never_decoded(online, streaming):
    broken = picture(1)[:-30]
    calls = online(test=[{"image": {"bytes": broken, "path": None}, "text": "a"}])
    (row,) = hub.rows("owner/set", "test", revision="abc", streaming=streaming)
    assert row["image"]["bytes"] == broken and row["text"] == "a"
    assert calls == [("owner/set", None, "test", "abc", streaming)]


def test_an_unknown_split_is_named(online):
    online(train=[{"text": "a"}])
    with pytest.raises(UserError, match="no split of owner/set 'tests'"):
        list(hub.rows("owner/set", "tests"))


def test_a_set_that_cannot_be_reached_is_told_in_one_sentence(monkeypatch):
    def gone(*args, **kwargs):
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'owner/set' doesn't exist on the Hub")

    monkeypatch.setattr(datasets, "get_dataset_split_names", gone)
    with pytest.raises(
        UserError, match="no path .*owner/set, and 'owner/set' cannot be read from the Hugging Face Hub"
    ):
        list(hub.rows("owner/set", "train"))


def test_mmmu_is_read_from_the_hub_subject_by_subject(online):
    row = {
        "id": "validation_Pharmacy_1",
        "question": "What is <image 1>?",
        "options": "['a pill', 'a vial']",
        "answer": "A",
        "question_type": "multiple-choice",
        "image_1": {"bytes": picture(1), "path": None},
    }
    calls = online(configs=("Art", "Pharmacy"), validation=[row])
    mmmu = readers.load_reader("mmmu")
    (sample,) = mmmu.rows("owner/set", "test", revision="v1")
    assert sample.answer == "a pill" and sample.images == (picture(1),)
    assert calls == [("owner/set", "Pharmacy", "validation", "v1", True)]
    assert "owner/set at revision v1" in mmmu.describe("owner/set", revision="v1")["file"]


def test_custom_data_are_read_from_the_hub_with_its_splits(online):
    rows = [
        {"image": {"bytes": picture(i), "path": None}, "dx": "ab"[i % 2], "question": "Which?"}
        for i in range(40)
    ]
    online(train=rows[:30], test=rows[30:])
    custom = readers.load_reader("custom")
    found = {
        split: list(custom.rows("owner/set", split, columns={"answer": "dx"})) for split in custom.SPLITS
    }
    # val is drawn from the 30 training rows, 15 of each class: 2 (1.5 rounded) of each
    assert {split: len(samples) for split, samples in found.items()} == {"train": 26, "val": 4, "test": 10}
    assert found["test"][0].images == (picture(30),)


def test_importing_the_readers_does_not_import_datasets():
    import subprocess
    import sys

    code = (
        "import sys; from medical_rl.data.prepare.readers import load_reader; "
        "[load_reader(name) for name in ('mmmu', 'custom', 'omnimedvqa')]; "
        "print(sorted({'datasets', 'torch', 'pandas', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_stream_that_breaks_off_is_told_as_one_and_by_its_name(monkeypatch):
    import httpx

    class Stream:
        features = None

        def __init__(self, error):
            self.error = error

        def __iter__(self):
            yield {"text": "a"}
            raise self.error

    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda *args, **kwargs: ["train"])
    for error in (ConnectionError("connection dropped"), httpx.ReadTimeout("connection dropped")):
        monkeypatch.setattr(datasets, "load_dataset", lambda *args, error=error, **kwargs: Stream(error))
        rows = hub.rows("owner/set", "train")
        assert next(rows) == {"text": "a"}
        with pytest.raises(
            UserError, match="'owner/set' from the Hugging Face Hub broke off: connection dropped"
        ):
            next(rows)
