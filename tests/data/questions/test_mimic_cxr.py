import pytest

from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare import prepare
from medical_rl.data_preprocess import mimic_cxr as mimic_files
from medical_rl.data_preprocess import rule_questions
from medical_rl.errors import UserError


def name(patient, study=1, dicom="0a1b-2c3d"):
    """The path of a phantom's image, after the pattern of the real ones."""
    number = f"p{10_000_000 + patient * 100_000}"
    return f"files/{number[:3]}/{number}/s{50_000_000 + study}/{dicom}.jpg"


@pytest.fixture
def copy(tmp_path, put, phantom, write, ask):
    """A miniature: 20 patients, two studies each, one question a study, rows without `text` as RULE writes them."""
    names = [name(patient, study, f"{patient:04x}-{study}") for patient in range(20) for study in (1, 2)]
    for number, image in enumerate(names):
        put(tmp_path / image, phantom(number))
    write(
        tmp_path / "mimic_test.jsonl",
        [ask(i, image, "No" if i % 3 else "Yes") for i, image in enumerate(names)],
    )
    return tmp_path


def official(table, folder, images):
    splits = ("train", "validate", "test")
    rows = [
        {
            "dicom_id": image.split("/")[-1][:-4],
            "study_id": "1",
            "subject_id": image.split("/")[2][1:],
            "split": splits[i % 3],
        }
        for i, image in enumerate(images)
    ]
    return table(folder / mimic_files.SPLIT_TABLE, rows)


def test_rows_are_restricted_and_a_patient_is_in_one_split(mimic_cxr, copy, everything):
    found = everything(mimic_cxr, copy)
    assert {split: len(samples) for split, samples in found.items()} == {"train": 32, "val": 4, "test": 4}
    patients = [{s.group for s in samples} for samples in found.values()]
    assert [len(p) for p in patients] == [16, 2, 2] and len(set.union(*patients)) == 20
    s = found["train"][0]
    assert s.restricted and s.group.startswith("p1") and s.meta["study"].startswith("s5000000")
    assert s.images == ((copy / s.meta["image"]).read_bytes(),)


@pytest.mark.parametrize("prefix", ["", "files/", "MIMIC/files/"])
def test_a_row_may_name_its_image_from_any_folder_above(mimic_cxr, copy, write, ask, everything, prefix):
    inner = name(3, 1, "0003-1").removeprefix("files/")
    write(copy / "mimic_test.jsonl", [ask(1, prefix + inner)])
    assert sum(map(len, everything(mimic_cxr, copy).values())) == 1
    # and the folder given may be `files` itself
    assert sum(map(len, everything(mimic_cxr, copy, images=str(copy / "files")).values())) == 1


def test_names_that_are_no_path_of_mimic_open_nothing(
    mimic_cxr, copy, write, ask, everything, reasons, drops, put, phantom
):
    put(copy / "files/p11/p10000000/s50000001/x.jpg", phantom())
    bad = [
        "holiday.jpg",
        "files/p11/p10000000/s50000001/x.jpg",
        "p10/p10000000/s50000001/../../x.jpg",
        name(3, 9),
        "ü.jpg",
    ]
    rows = [ask(100 + i, image) for i, image in enumerate(bad)]
    path = copy / "mimic_test.jsonl"
    write(path, [*path.read_text().splitlines(), *rows])
    assert sum(map(len, everything(mimic_cxr, copy).values())) == 40
    assert reasons() == {
        "the path of its image is not p../p......../s......../<id>.jpg": 3,
        rule_questions.LEAVES: 1,
        rule_questions.ABSENT: 1,
    }
    # No path, which would name a patient, is on the way to the card.
    assert "p10000000" not in str(drops.summary())


def test_a_truncated_image_is_told_with_its_row(mimic_cxr, copy, everything, drops):
    path = copy / name(5, 1, "0005-1")
    path.write_bytes(path.read_bytes()[:50])
    assert sum(map(len, everything(mimic_cxr, copy).values())) == 39
    assert "mimic_test/10: 0005-1.jpg: These 50 bytes" in str(drops.summary()["its image cannot be decoded"])


def test_the_official_split_is_read_by_image_and_patient(mimic_cxr, copy, table, everything, reasons):
    names = [name(patient, 1, f"{patient:04x}-1") for patient in range(20)]
    official(table, copy, names)
    found = everything(mimic_cxr, copy, splits="published")
    # 20 images in turn: 7 train, 7 validate, 6 test; the second study of each patient is not in the table.
    assert {split: len(samples) for split, samples in found.items()} == {"train": 7, "val": 7, "test": 6}
    assert reasons() == {rule_questions.NO_SPLIT: 20}


def test_the_official_table_is_asked_for_unpacked_and_checked(mimic_cxr, copy, table):
    with pytest.raises(UserError, match="splits=published needs mimic-cxr-2.0.0-split.csv in"):
        mimic_cxr.rows(copy, "train", splits="published")
    (copy / f"{mimic_files.SPLIT_TABLE}.gz").write_bytes(b"")
    with pytest.raises(UserError, match="Unpack mimic-cxr-2.0.0-split.csv.gz first"):
        mimic_cxr.rows(copy, "train", splits="published")
    table(
        copy / mimic_files.SPLIT_TABLE,
        [{"dicom_id": "a", "study_id": "1", "subject_id": "1", "split": "dev"}],
    )
    with pytest.raises(UserError, match="Line 2 of .* has the split 'dev', not train, validate, test"):
        mimic_cxr.rows(copy, "train", splits="published")


def test_the_card_says_that_nothing_may_leave_the_machine(mimic_cxr, copy, bare, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    data = {"name": "m", "reader": "mimic_cxr", "source": str(copy)}
    card = prepare.prepare(data, bare, out, 0, 1)
    assert card["about"]["restricted"] and "forbids sharing these rows" in (out / "README.md").read_text()
    assert "PhysioNet Credentialed Health Data License" in (out / "README.md").read_text()
    assert all(s.restricted for split in card["splits"] for s in read_samples(out / f"{split}.parquet"))
    # An image that changes is seen, though the copy's 377,000 files are not walked.
    path = copy / name(5, 1, "0005-1")
    path.unlink()
    assert prepare.prepare(data, bare, out, 0, 1)["recipe"] != card["recipe"]


def test_a_changed_question_is_part_of_the_recipe_and_an_output_inside_the_copy_is_not(
    copy, write, ask, bare
):
    data, out = {"name": "m", "reader": "mimic_cxr", "source": str(copy)}, copy / "files/prepared"
    card = prepare.prepare(data, bare, out, 0, 1)
    assert prepare.prepare(data, bare, out, 0, 1) == card
    path = copy / "mimic_test.jsonl"
    path.write_text(path.read_text().replace("heart", "chest"))
    assert prepare.prepare(data, bare, out, 0, 1)["recipe"] != card["recipe"]


def test_preparing_opens_no_connection(mimic_cxr, copy, bare, tmp_path_factory, monkeypatch):
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    data = {"name": "m", "reader": "mimic_cxr", "source": str(copy)}
    assert prepare.prepare(data, bare, tmp_path_factory.mktemp("out"), 0, 1)["splits"]["train"]["rows"] == 32


def test_the_published_split_table_is_part_of_the_recipe(mimic_cxr, copy, table, bare, tmp_path_factory):
    names = [name(patient, study, f"{patient:04x}-{study}") for patient in range(20) for study in (1, 2)]
    images, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("out")
    (images / "files").symlink_to(copy / "files")
    data = {"name": "m", "reader": "mimic_cxr", "source": str(copy)}
    data["params"] = {"splits": "published", "images": str(images)}
    recipes = []
    for turned in (0, 3):  # the splits of the patients change places
        by_patient = [f"{p}" for p in range(20)]
        rows = [
            {"dicom_id": n.split("/")[-1][:-4], "study_id": "1", "subject_id": n.split("/")[2][1:],
             "split": ("train", "validate", "test")[(by_patient.index(str(i // 2)) + turned // 3) % 3]}
            for i, n in enumerate(names)
        ]  # fmt: skip
        table(images / mimic_files.SPLIT_TABLE, rows)
        recipes.append(prepare.prepare(data, bare, out, 0, 1)["recipe"])
    assert recipes[0] != recipes[1]
