import json
import os
import zipfile

import numpy as np
import pytest

from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare import prepare
from medical_rl.data.sources import npz
from medical_rl.data_preprocess import rule_questions
from medical_rl.errors import UserError
from medical_rl.images import decode

FOLDERS = ("Training", "Validation", "Test")


class Trap:
    """Unpickled, it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def patient():
    """A function that gives the arrays of one phantom patient: numbers of zero dimensions, as published."""

    def arrays(number=0, **changes):
        image = np.random.default_rng(number).integers(0, 256, (8, 9), dtype=np.uint8)
        fields = {
            "age": 62.0,
            "gender": 0,
            "race": 2,
            "ethnicity": 0,
            "language": 0,
            "maritalstatus": 1,
            "glaucoma": 1,
        }
        made = {
            "slo_fundus": image,
            "md": -3.1,
            "tds": np.zeros(52),
            **fields,
            "note": f"Phantom note {number}.",
        }
        return {key: value for key, value in {**made, **changes}.items() if value is not None}

    return arrays


@pytest.fixture
def copy(tmp_path, patient, write, ask):
    """A miniature: 30 patients, 10 in each published folder, one question each."""
    for number in range(30):
        folder = tmp_path / FOLDERS[number // 10]
        folder.mkdir(exist_ok=True)
        np.savez(folder / f"data_{number:05}.npz", **patient(number))
    rows = [
        ask(
            n,
            f"slo_fundus_{n:05}.jpg",
            "Yes." if n % 7 else "No",
            "Does the phantom have glaucoma? \n<image>",
        )
        for n in range(30)
    ]
    write(tmp_path / "harvard_test.jsonl", rows)
    return tmp_path


def test_a_row_is_joined_on_five_digits_and_its_image_loses_nothing(fairvlmed, copy, patient, everything):
    found = {s.id: s for split in everything(fairvlmed, copy).values() for s in split}
    assert len(found) == 30
    s = found["fairvlmed/harvard_test/17"]
    assert (s.group, s.answer, s.kind, s.restricted) == ("00017", "yes", "yes_no", True)
    assert (np.asarray(decode(s.images[0]))[..., 0] == patient(17)["slo_fundus"]).all() and s.size == (8, 9)
    assert s.concepts == ("glaucoma",) and s.question == "Does the phantom have glaucoma?"
    assert (s.meta["age"], s.meta["md"], s.meta["glaucoma"]) == (62.0, -3.1, 1) and "note" not in s.meta
    assert all(sample.restricted for sample in found.values())


def test_published_splits_are_the_folders(fairvlmed, copy, everything):
    found = everything(fairvlmed, copy, splits="published")
    assert {split: {s.group for s in samples} for split, samples in found.items()} == {
        "train": {f"{n:05}" for n in range(10)},
        "val": {f"{n:05}" for n in range(10, 20)},
        "test": {f"{n:05}" for n in range(20, 30)},
    }


def test_blank_and_nan_fields_become_none_and_the_row_is_json(fairvlmed, copy, patient, everything):
    changes = {
        "age": float("nan"),
        "md": np.nan,
        "race": " ",
        "language": None,
        "maritalstatus": np.array([1, 2]),
    }
    np.savez(copy / "Training/data_00003.npz", **patient(3, **changes))
    (s,) = (s for split in everything(fairvlmed, copy).values() for s in split if s.group == "00003")
    fields = ("age", "md", "race", "language", "maritalstatus", "gender")
    assert [s.meta[field] for field in fields] == [None] * 5 + [0]
    json.dumps(json.loads(s.to_json()), allow_nan=False)


def test_a_pickle_inside_an_npz_is_refused_and_never_run(
    fairvlmed, copy, patient, everything, reasons, drops
):
    trap = copy / "ran"
    np.savez(copy / "Training/data_00001.npz", **patient(1, note=np.array([Trap(trap)], dtype=object)))
    np.savez(
        copy / "Training/data_00002.npz", **patient(2, slo_fundus=np.array([[Trap(trap)]], dtype=object))
    )
    found = everything(fairvlmed, copy)
    assert sum(map(len, found.values())) == 29 and reasons() == {"its npz file cannot be used": 1}
    assert "Python objects in slo_fundus" in str(drops.summary()) and not trap.exists()
    assert not trap.exists() and len(list(fairvlmed.reports(copy))) == 29
    assert str(copy) not in str(drops.summary())


def test_bad_npz_files_are_dropped_with_row_and_reason(
    fairvlmed, copy, patient, put, everything, reasons, drops
):
    folder = copy / "Training"
    whole = (folder / "data_00000.npz").read_bytes()
    put(folder / "data_00000.npz", whole[: len(whole) // 2])
    put(folder / "data_00001.npz", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    np.savez(folder / "data_00002.npz", **patient(2, slo_fundus=None))
    np.savez(folder / "data_00003.npz", **patient(3, slo_fundus=np.full((4, 4), 0.5)))
    np.savez(folder / "data_00004.npz", **patient(4, slo_fundus=np.zeros((3, 4, 4, 4), np.uint8)))
    np.savez(folder / "data_00005.npz", **patient(5, slo_fundus=np.zeros((0, 4), np.uint8)))
    np.savez(copy / "Test/data_00006.npz", **patient(6))
    (folder / "data_00007.npz").unlink()
    assert sum(map(len, everything(fairvlmed, copy).values())) == 22
    assert reasons() == {
        "its npz file cannot be used": 6,
        "its npz file is there more than once": 1,
        rule_questions.ABSENT: 1,
    }
    told = dict(e.split(": ", 1) for e in drops.summary()["its npz file cannot be used"]["examples"])
    assert "git-lfs pointer" in told["harvard_test/1"] and "no slo_fundus" in told["harvard_test/2"]
    assert "not whole numbers" in told["harvard_test/3"] and "not an image" in told["harvard_test/4"]


def test_a_zip_bomb_is_told_by_its_header_and_not_unpacked(
    copy, fairvlmed, everything, drops, tmp_path, monkeypatch
):
    path = copy / "Training/data_00000.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("slo_fundus.npy", "w") as member,
    ):
        np.lib.format.write_array_header_1_0(
            member, {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 1 << 20)}
        )
        member.write(bytes(1 << 20))
    assert path.stat().st_size < 10_000
    assert sum(map(len, everything(fairvlmed, copy).values())) == 29
    assert "1,099,511,627,776 bytes in slo_fundus.npy" in str(drops.summary())


def test_many_small_members_are_a_bomb_too(tmp_path):
    np.savez(tmp_path / "a.npz", **{f"x{i}": np.zeros(600, np.uint8) for i in range(4)})
    with pytest.raises(UserError, match="more than 2,000"):
        npz.read_arrays(tmp_path / "a.npz", max_bytes=2000)


def test_whole_grey_levels_stored_as_float_are_kept_exactly(fairvlmed, copy, patient, everything):
    image = patient(0)["slo_fundus"]
    np.savez(copy / "Training/data_00000.npz", **patient(0, slo_fundus=image.astype(np.float64)))
    (s,) = (s for split in everything(fairvlmed, copy).values() for s in split if s.group == "00000")
    assert (np.asarray(decode(s.images[0]))[..., 0] == image).all()


def test_another_image_name_is_a_drop(fairvlmed, copy, write, ask, everything, reasons):
    path = copy / "harvard_test.jsonl"
    write(path, [*path.read_text().splitlines(), ask(90, "fundus_1.jpg"), ask(91, "../slo_fundus_00001.jpg")])
    assert sum(map(len, everything(fairvlmed, copy).values())) == 30
    assert reasons() == {
        "the name of its image is not slo_fundus_<five digits>.jpg": 1,
        rule_questions.LEAVES: 1,
    }


def test_the_card_says_restricted_and_86_percent_yes(fairvlmed, copy, bare, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    card = prepare.prepare({"name": "f", "reader": "fairvlmed", "source": str(copy)}, bare, out, 0, 1)
    readme = (out / "README.md").read_text()
    assert (
        "86 % of RULE's answers are yes" in readme and "Restricted:" in readme and card["about"]["restricted"]
    )
    assert all(
        s.restricted for split in ("train", "val", "test") for s in read_samples(out / f"{split}.parquet")
    )
    # 4 of the 5 noes (numbers 0, 7, 14, 21, 28) and 25 yes are what the majority rate is counted from.
    labels = [facts["labels"] for facts in card["splits"].values()]
    assert (
        sum(found.get("yes", 0) for found in labels) == 25
        and sum(found.get("no", 0) for found in labels) == 5
    )


def test_an_output_inside_the_folder_of_the_images_is_prepared_once_and_a_lost_image_seen(
    copy, bare, tmp_path_factory
):
    images = tmp_path_factory.mktemp("images")
    for folder in FOLDERS:
        (copy / folder).rename(images / folder)
    data = {"name": "f", "reader": "fairvlmed", "source": str(copy), "params": {"images": str(images)}}
    card = prepare.prepare(data, bare, images / "prepared", 0, 1)
    before = (images / "prepared/card.json").stat().st_mtime_ns
    assert prepare.prepare(data, bare, images / "prepared", 0, 1) == card
    assert (images / "prepared/card.json").stat().st_mtime_ns == before
    (images / "Training/data_00003.npz").unlink()
    assert prepare.prepare(data, bare, images / "prepared", 0, 1)["recipe"] != card["recipe"]


def test_notes_are_a_corpus_with_their_split(fairvlmed, copy, tmp_path_factory):
    reports = list(fairvlmed.reports(copy))
    assert len(reports) == 30
    assert reports[12] == {"id": "00012", "text": "Phantom note 12.", "study": "00012", "split": "val"}
    path = tmp_path_factory.mktemp("rule") / "retriever.json"
    path.write_text(json.dumps([{"id": "slo_fundus_00004", "report": "Phantom.", "split": "train"}]))
    assert list(fairvlmed.reports(path)) == [
        {"id": "slo_fundus_00004", "text": "Phantom.", "study": "00004", "split": "train"}
    ]


def test_a_bad_file_is_told_and_the_rest_of_the_corpus_is_read(fairvlmed, copy, drops, reasons):
    (copy / "Training/data_00000.npz").write_bytes(b"PK\x03\x04 cut")
    (copy / "Test/data_00001.npz").write_bytes((copy / "Training/data_00001.npz").read_bytes())
    assert len(list(fairvlmed.reports(copy, drops=drops))) == 28
    assert reasons() == {"its npz file cannot be used": 1, "its npz file is there more than once": 1}
    assert str(copy) not in str(drops.summary())


def test_a_missing_folder_says_how_to_ask_for_access(fairvlmed, tmp_path):
    with pytest.raises(UserError, match="access to the images is by request"):
        fairvlmed.rows(tmp_path / "nowhere", "train")


def test_an_object_in_a_field_costs_the_field_and_not_the_picture(
    fairvlmed, copy, patient, everything, drops
):
    np.savez(
        copy / "Training/data_00001.npz",
        **patient(1, age=np.array(None, dtype=object), extra=np.array([{}], object)),
    )
    found = {s.id: s for split in everything(fairvlmed, copy).values() for s in split}
    s = found["fairvlmed/harvard_test/1"]
    assert len(found) == 30 and s.meta["age"] is None and s.meta["unread"] == ["age"] and s.meta["md"] == -3.1
    assert drops.summary() == {} and "unread" not in found["fairvlmed/harvard_test/2"].meta
