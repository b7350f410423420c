"""The splits of a user's own rows: drawn by group and image, or as the table gives them."""

import shutil

import pytest

from medical_rl.errors import UserError


def test_rows_of_one_group_or_one_image_stay_together(table, rows, read):
    # 60 rows, 3 a patient; the first picture of patient 2k is also the first of patient 2k + 1.
    content = rows(60, group=lambda i: f"patient {i // 3}")
    for k in range(10):
        content[6 * k + 3]["image"] = content[6 * k]["image"]
    found, _ = read(table(content))
    place = {s.id: split for split, samples in found.items() for s in samples}
    assert all(len({place[f"row {6 * k + j}"] for j in range(1, 7)}) == 1 for k in range(10))
    assert all(found.values())


def test_two_files_of_equal_bytes_stay_together(table, picture, rows, read):
    path = table(rows(40))
    for i in range(0, 40, 2):
        (path.parent / f"scans/ü {i + 1}.png").write_bytes(picture(i))
    found, _ = read(path)
    images = {split: {s.images for s in samples} for split, samples in found.items()}
    assert sum(map(len, images.values())) == 20 and all(images.values())


def test_given_splits_are_kept_and_a_missing_one_is_drawn_from_train(table, rows, read):
    said = ["Training"] * 12 + ["TEST"] * 6 + ["fold 3", ""]
    found, dropped = read(table(rows(split=lambda i: said[i])))
    assert {split: len(samples) for split, samples in found.items()} == {"train": 10, "val": 2, "test": 6}
    assert dropped == {"its split is none of train, val and test": 2}


def test_one_table_a_split(custom, table, rows, read):
    table(rows(8), "train.csv")
    table(rows(6), "validation.csv")
    path = table(rows(4), "test.csv")
    found, _ = read(path.parent)
    # The same pictures in all three: the splits given are not questioned here but in the check.
    assert {split: len(samples) for split, samples in found.items()} == {"train": 8, "val": 6, "test": 4}
    table(rows(3), "more.csv")
    with pytest.raises(UserError, match="several tables: more.csv, test.csv"):
        custom.rows(path.parent, "train")


def test_the_draw_is_seeded_and_does_not_depend_on_row_order(table, rows, read):
    content = rows(40, id=lambda i: f"case-{i}", group=lambda i: f"p{i // 2}")
    tested = {s.id for s in read(table(content))[0]["test"]}
    assert tested == {s.id for s in read(table(content[::-1]))[0]["test"]}
    assert tested != {s.id for s in read(table(content), split_seed=1)[0]["test"]}


def test_the_draw_does_not_depend_on_where_the_set_lies_and_no_path_of_the_machine_is_kept(
    table, tmp_path, rows, read, everything
):
    here = table(rows(40))
    shutil.copytree(here.parent, tmp_path / "elsewhere/copy")
    found, moved = (read(path)[0] for path in (here, tmp_path / "elsewhere/copy/data.csv"))
    assert found == moved and found["test"][0].group.startswith("scans/")
    assert str(tmp_path) not in "".join(sample.to_json() for sample in everything(found))
