import copy
import doctest
import hashlib
import zipfile

import numpy as np
import pytest

from medical_rl.data_preprocess import medmnist as medmnist_file
from medical_rl.errors import UserError
from medical_rl.images import decode


def test_the_mirrors_cut_train_split_is_flagged_with_both_counts(medmnist, pneumonia):
    with pytest.raises(
        UserError, match="train has 3,882 rows, official 4,708.*MD5.*allow_altered=true"
    ) as error:
        medmnist.rows(pneumonia, "train")
    assert str(pneumonia) in str(error.value)
    assert "val has" not in str(error.value)


def test_the_real_file_gives_the_published_test_split(medmnist, pneumonia):
    samples = list(medmnist.rows(pneumonia, "test", allow_altered=True))
    # 390 of 624 are pneumonia: the majority rate of the published test set, 62.5 %.
    assert [sum(s.answer == name for s in samples) for name in ("normal", "pneumonia")] == [234, 390]
    arrays = np.load(pneumonia, allow_pickle=False)
    for i in (0, 311, 623):
        assert (np.asarray(decode(samples[i].images[0]))[..., 0] == arrays["test_images"][i]).all()
        assert samples[i].answer == ("normal", "pneumonia")[arrays["test_labels"][i, 0]]


def test_the_real_card_tells_what_was_altered(medmnist, pneumonia):
    about = medmnist.describe(pneumonia, allow_altered=True)
    assert about["md5"] == hashlib.md5(pneumonia.read_bytes()).hexdigest() != about["official_md5"]
    assert about["counts"] == {"train": 3882, "val": 524, "test": 624}
    assert about["altered"][0] == "train has 3,882 rows, official 4,708" and len(about["altered"]) == 2
    assert about["licence"] == "CC BY 4.0" and about["url"].endswith("pneumoniamnist.npz?download=1")


def test_a_row_of_a_label_dataset(medmnist, mini):
    samples = list(medmnist.rows(mini("breastmnist.npz"), "train", allow_altered=True))
    assert len({s.id for s in samples}) == len(samples) == 12
    s = samples[1]
    assert (s.id, s.group, s.split, s.source) == (
        "breastmnist/train/1",
        "breastmnist/train/1",
        "train",
        "breastmnist",
    )
    assert (s.kind, s.answer, s.choices) == ("label", "normal, benign", ("malignant", "normal, benign"))
    assert s.size == (8, 8) and "breast ultrasound" in s.question


def test_retinamnist_is_a_grade_and_in_colour(medmnist, mini):
    samples = list(
        medmnist.rows(mini("retinamnist_224.npz", channels=3, classes=5), "val", allow_altered=True)
    )
    assert [(s.kind, s.answer) for s in samples] == [("grade", str(i)) for i in range(4)]
    assert samples[0].choices == ("0", "1", "2", "3", "4")
    assert len(set(np.asarray(decode(samples[0].images[0])).reshape(-1, 3)[0])) > 1


def test_every_2d_flag_is_read(medmnist, mini):
    two_d = {flag for flag in medmnist_file.official() if flag.endswith("mnist")}
    assert len(two_d) == 12 and set(medmnist.QUESTIONS) == two_d
    for flag in two_d - {"chestmnist"}:
        channels = medmnist_file.official()[flag]["n_channels"]
        (first, *_) = medmnist.rows(mini(f"{flag}.npz", channels=channels), "test", allow_altered=True)
        assert first.answer == first.choices[0] and len(first.choices) == len(
            medmnist_file.official()[flag]["label"]
        )


@pytest.fixture
def chest(mini):
    """A ChestMNIST of 12, 4 and 6 images: image i has finding i only, so the first also has none of the others."""
    labels = {
        f"{split}_labels": np.eye(n, 14, dtype=np.uint8)
        for split, n in {"train": 12, "val": 4, "test": 6}.items()
    }
    return mini("chestmnist.npz", **labels)


def test_each_finding_of_chestmnist_is_a_yes_no_question_and_its_image_is_the_group(medmnist, chest):
    samples = list(medmnist.rows(chest, "val", allow_altered=True))
    assert (
        len(samples) == 4 * 14 and len({s.group for s in samples}) == 4 and len({s.id for s in samples}) == 56
    )
    # four images with one finding each
    assert [s.answer for s in samples].count("yes") == 4
    first = samples[0]
    assert (first.kind, first.answer, first.choices) == ("yes_no", "yes", ("yes", "no"))
    assert (first.question, first.id) == (
        "Does this frontal chest X-ray show atelectasis?",
        "chestmnist/val/0/atelectasis",
    )


def test_one_finding_of_chestmnist_is_one_row_an_image_and_another_name_is_refused(medmnist, chest):
    samples = list(medmnist.rows(chest, "train", allow_altered=True, finding="cardiomegaly"))
    assert [s.answer for s in samples] == ["no", "yes"] + ["no"] * 10
    with pytest.raises(UserError, match="Did you mean 'cardiomegaly'"):
        medmnist.rows(chest, "train", allow_altered=True, finding="cardiomegali")


def test_chestmnist_labels_must_be_14_columns_of_0_and_1(medmnist, mini):
    with pytest.raises(UserError, match=r"train_labels is uint8 \(12, 1\).*\(12, 14\)"):
        medmnist.rows(mini("chestmnist.npz"), "train", allow_altered=True)
    labels = {
        f"{s}_labels": np.full((n, 14), 2, np.uint8) for s, n in {"train": 12, "val": 4, "test": 6}.items()
    }
    with pytest.raises(UserError, match="not all 0 or 1"):
        list(medmnist.rows(mini("chestmnist.npz", **labels), "train", allow_altered=True))


def test_an_official_file_needs_no_permission(medmnist, mini, monkeypatch):
    path = mini("pneumoniamnist_64.npz", size=64)
    with pytest.raises(UserError, match="not the official file"):
        medmnist.describe(path)
    info = copy.deepcopy(medmnist_file.official())
    info["pneumoniamnist"]["n_samples"] = {"train": 12, "val": 4, "test": 6}
    info["pneumoniamnist"]["MD5_64"] = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(medmnist_file, "official", lambda: info)
    assert medmnist.describe(path)["altered"] == []
    assert len(list(medmnist.rows(path, "train"))) == 12


def test_a_changed_file_is_hashed_again(medmnist, mini):
    path = mini()
    before = medmnist.describe(path, allow_altered=True)["md5"]
    np.savez(path, **np.load(path))
    assert medmnist.describe(path, allow_altered=True)["md5"] != before


def test_a_size_that_differs_from_the_name_counts_as_altered(medmnist, mini):
    altered = medmnist.describe(mini("pneumoniamnist_64.npz", size=8), allow_altered=True)["altered"]
    assert "train images are (8, 8), and pneumoniamnist_64.npz should hold (64, 64)" in altered


def test_flag_overrides_a_strange_file_name(medmnist, mini):
    path = mini("download (1).npz")
    with pytest.raises(UserError, match="give flag.*download \\(1\\).*Available: bloodmnist"):
        medmnist.rows(path, "train", allow_altered=True)
    (first, *_) = medmnist.rows(path, "train", flag="pneumoniamnist", allow_altered=True)
    assert first.source == "pneumoniamnist"


def test_a_missing_file_says_where_it_looked_and_how_to_get_it(medmnist, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        medmnist.describe("retinamnist_224.npz")
    for part in (
        f"{tmp_path}/retinamnist_224.npz",
        "python -m medmnist download --root=FOLDER --size=224",
        "https://",
    ):
        assert part in str(error.value)


def test_a_truncated_real_file_is_told_with_its_path(medmnist, pneumonia, tmp_path):
    path = tmp_path / "pneumoniamnist.npz"
    path.write_bytes(pneumonia.read_bytes()[:1_000_000])
    with pytest.raises(UserError, match=f"{path} cannot be read as an npz file"):
        medmnist.rows(path, "train", allow_altered=True)


UGLY = [
    ({"train_images": np.zeros((12, 8, 8), np.float32)}, "train_images is float32"),
    ({"train_images": np.zeros((12, 8, 8, 4), np.uint8)}, "should be|uint8, of shape"),
    ({"train_images": np.zeros((12, 8, 9), np.uint8)}, r"\(12, 8, 9\)"),
    ({"train_images": np.zeros((12, 8, 8, 8, 3), np.uint8)}, "of shape"),
    ({"val_labels": np.zeros((4,), np.uint8)}, r"val_labels is uint8 \(4,\)"),
    ({"val_labels": np.zeros((4, 14), np.uint8)}, r"val_labels is uint8 \(4, 14\)"),
    ({"val_labels": np.zeros((3, 1), np.uint8)}, r"for 4 images it should be .* \(4, 1\)"),
    ({"val_labels": np.zeros((4, 1), np.float64)}, "val_labels is float64"),
    ({"test_labels": np.array([[None]] * 6, dtype=object)}, "Python objects in test_labels"),
    ({"test_labels": None, "val_images": None}, "lacks val_images, test_labels"),
]


@pytest.mark.parametrize(("changes", "reason"), UGLY, ids=[reason for _, reason in UGLY])
def test_wrong_arrays_are_refused_even_when_altered_is_allowed(medmnist, mini, changes, reason):
    with pytest.raises(UserError, match=reason):
        medmnist.rows(mini(**changes), "train", allow_altered=True)


@pytest.mark.parametrize("label", [2, -1])
def test_a_label_out_of_range_is_never_guessed(medmnist, mini, label):
    labels = np.zeros((12, 1), np.int64)
    labels[7] = label
    rows = medmnist.rows(mini(train_labels=labels), "train", allow_altered=True)
    with pytest.raises(UserError, match=f"label {label} of pneumoniamnist/train/7 is not in 0 to 1"):
        list(rows)


def test_an_unknown_split_is_named(medmnist, mini):
    with pytest.raises(UserError, match="'dev'.*test, train, val"):
        medmnist.rows(mini(), "dev", allow_altered=True)


def test_its_examples_run(medmnist):
    assert doctest.testmod(medmnist).failed == 0


def test_an_npz_bomb_is_refused_by_its_header(medmnist, tmp_path):
    path, side = tmp_path / "bloodmnist.npz", 20_000  # 400 Mpixel an image: eight times the limit
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for split in ("train", "val", "test"):
            for part, shape in (("images", (1, side, side)), ("labels", (1, 1))):
                with archive.open(f"{split}_{part}.npy", "w") as member:
                    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(member, header)
                    member.write(bytes(1000))
    with pytest.raises(UserError, match="train_images are 20000 x 20000 pixels"):
        medmnist.rows(path, "train", allow_altered=True)


@pytest.mark.parametrize(
    ("flag", "told"),
    [("dermamnist", "never train on one and test on the other"), ("retinamnist", "validation set")],
)
def test_the_card_tells_what_holds_for_one_flag_only(medmnist, mini, flag, told):
    notes = medmnist.describe(mini(f"{flag}.npz", channels=3), allow_altered=True)["notes"]
    assert any(told in note for note in notes)
    others = medmnist.describe(mini("pneumoniamnist.npz"), allow_altered=True)["notes"]
    assert not any(told in note for note in others)
