"""A user's own rows and the splits their table gives: patients in two of them, ids that several tables have."""

import csv

import numpy as np
import pytest

from medical_rl.data.inspect import check
from medical_rl.data.prepare import command, prepare, readers
from medical_rl.data.rows import Drops
from medical_rl.errors import UserError
from medical_rl.images import encode_png


@pytest.fixture
def custom():
    return readers.load_reader("custom")


@pytest.fixture
def table(tmp_path):
    """A function that writes a CSV, {column: cell} a row, and a picture of noise for each image that it names."""

    def make(rows, name="data.csv"):
        path = tmp_path / "set" / name
        path.parent.mkdir(exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        for image in {row["image"] for row in rows if row["image"].endswith(".png")}:
            noise = np.random.default_rng(list(image.encode())).integers(0, 256, (32, 32), dtype=np.uint8)
            (path.parent / image).write_bytes(encode_png(noise))
        return path

    return make


def prepared(source, out, **params):
    data = {
        "name": "mine",
        "reader": "custom",
        "source": str(source),
        "params": {"question": "Which?", **params},
    }
    return prepare.prepare(data, command.load_prompt("class_names"), out, 0, 1)


def read(custom, source, **params):
    drops = Drops()
    options = {"question": "Which?", "drops": drops, **params}
    found = {split: list(custom.rows(source, split, **options)) for split in custom.SPLITS}
    return found, {reason: entry["rows"] for reason, entry in drops.summary().items()}


def given(n=30, **changes):
    """Training rows of a patient each and six test rows, as a table with no val names them."""
    named = [("train", i) for i in range(n)] + [("test", i) for i in range(n, n + 6)]
    return [
        {"image": f"{i}.png", "answer": "ab"[i % 2], "group": f"p{i}", "split": split} for split, i in named
    ]


def linked(group):
    """Two training rows about one picture, of p100 and p101, and a test row of `group`."""
    shared = [
        {"image": "shared.png", "answer": "ab"[i], "group": f"p10{i}", "split": "train"} for i in (0, 1)
    ]
    return [*given(), *shared, {"image": "last.png", "answer": "a", "group": group, "split": "test"}]


def test_a_patient_in_train_and_in_a_given_test_is_refused_though_an_image_links_it_to_another(
    table, tmp_path
):
    with pytest.raises(prepare.BadSplit, match="in both train and test|in both val and test"):
        prepared(table(linked("p101")), tmp_path / "out")
    prepared(table(linked("p102")), tmp_path / "out")
    assert check.check_folder(tmp_path / "out").exit_code == 0


def test_rows_that_an_image_links_are_drawn_together_and_keep_their_own_groups(custom, table):
    for seed in range(8):
        found, _ = read(custom, table(linked("p102")), split_seed=seed, val_share=0.3)
        where = {s.group: split for split, samples in found.items() for s in samples}
        assert where["p100"] == where["p101"] and len(where) == 39


def test_without_a_group_an_image_of_a_given_split_is_still_seen_in_a_drawn_one(table, tmp_path):
    rows = [{key: row[key] for key in ("image", "answer", "split")} for row in given()]
    # Row 1 shows 0 and 1, so that the second row is linked to it; the last test row shows 1 again.
    rows[0]["image"] = "0.png|1.png"
    for name in ("0.png", "1.png"):
        noise = np.random.default_rng(list(name.encode())).integers(0, 256, (32, 32), dtype=np.uint8)
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / name).write_bytes(encode_png(noise))
    rows[-1]["image"] = "1.png"
    with pytest.raises(prepare.BadSplit, match="and test"):
        prepared(table(rows), tmp_path / "out")


def test_tables_that_each_count_from_0_lose_no_row(custom, table):
    for name, first, n in (("train", 0, 30), ("test", 100, 10)):
        rows = [{"id": i, "image": f"{first + i}.png", "answer": "ab"[i % 2]} for i in range(n)]
        path = table(rows, f"{name}.csv")
    found, dropped = read(custom, path.parent)
    assert {split: len(samples) for split, samples in found.items()} == {"train": 26, "val": 4, "test": 10}
    assert not dropped
    ids = {s.id for samples in found.values() for s in samples}
    assert len(ids) == 40 and {"train/0", "test/0", "29"} <= ids


def test_an_id_twice_in_one_table_is_told(custom, table):
    table([{"id": 0, "image": f"{i}.png", "answer": "ab"[i % 2]} for i in range(2)], "train.csv")
    path = table([{"id": i, "image": f"{i}.png", "answer": "ab"[i % 2]} for i in range(5, 15)], "test.csv")
    assert read(custom, path.parent)[1] == {"its id is taken by another row": 1}


def test_an_image_cell_that_is_no_list_is_told_and_the_others_are_read(custom, table, tmp_path):
    rows = [{"image": f"{i}.png", "answer": "ab"[i % 2]} for i in range(20)] + [
        {"image": "[x", "answer": "a"}
    ]
    path = table(rows)
    assert read(custom, path)[1] == {"a cell that starts with [ is not a JSON list": 1}
    assert (
        prepared(path, tmp_path / "out")["dropped"]["a cell that starts with [ is not a JSON list"]["rows"]
        == 1
    )


def test_a_grade_that_is_no_whole_number_is_a_drop_and_no_class(custom, table):
    grades = ["²", "1.5", "٣", "9" * 400]
    rows = [{"image": f"{i}.png", "answer": ("0", "2.0", "2")[i % 3]} for i in range(18)]
    rows += [{"image": f"{20 + i}.png", "answer": grade} for i, grade in enumerate(grades)]
    found, dropped = read(custom, table(rows), kind="grade")
    assert dropped == {"its answer is no whole number": 4}
    assert {s.choices for samples in found.values() for s in samples} == {("0", "2")}


@pytest.mark.parametrize("name", ["copy", "thought"])
def test_a_kept_column_cannot_take_a_name_that_meta_reserves(custom, table, name):
    path = table([{"image": f"{i}.png", "answer": "ab"[i % 2], name: "1"} for i in range(10)])
    with pytest.raises(UserError, match=f"column '{name}' cannot be kept"):
        custom.rows(path, "train", question="Which?", keep=[name])
