"""A user's own table in each of its forms: which columns it has, which settings fit it, and a table that is broken."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medical_rl.errors import UserError


@pytest.mark.parametrize("name", ["data.csv", "data.jsonl", "data.json"])
def test_a_table_gives_three_splits_with_every_row_once(custom, table, name, picture, rows, read, everything):
    found, dropped = read(table(rows(), name))
    # 10 rows a class: 2 for test, 1 for val
    assert {split: len(samples) for split, samples in found.items()} == {"train": 14, "val": 2, "test": 4}
    assert len({s.id for s in everything(found)}) == 20 and not dropped
    s = next(s for s in everything(found) if s.id == "row 2")
    assert (s.kind, s.answer, s.choices, s.question) == (
        "label",
        "pneumonia",
        ("normal", "pneumonia"),
        "Which?",
    )
    assert s.images == (picture(1),) and s.size == (10, 20) and s.source == "custom"


def test_parquet_with_its_own_images_is_read(tmp_path, picture, read, everything):
    cells = [{"image": {"bytes": picture(i), "path": None}, "answer": "ab"[i % 2]} for i in range(20)]
    pq.write_table(pa.Table.from_pylist(cells), tmp_path / "a.parquet")
    found, dropped = read(tmp_path / "a.parquet", question="Which?")
    assert {s.images for s in everything(found)} == {(picture(i),) for i in range(20)} and not dropped


@pytest.mark.parametrize("by_split", [True, False])
def test_a_folder_of_class_folders(tmp_path, by_split, picture, read, everything):
    for i in range(40):
        split = ("training", "test")[i % 4 == 0] if by_split else "."
        path = tmp_path / "set" / split / ("benign", "malignant")[i // 20] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(i))
    found, dropped = read(tmp_path / "set", question="Which?")
    assert {s.choices for s in everything(found)} == {("benign", "malignant")} and not dropped
    # by folder: 30 training images, of each class's 15 two (1.5 rounded) go to val
    assert {k: len(v) for k, v in found.items()} == (
        {"train": 26, "val": 4, "test": 10} if by_split else {"train": 28, "val": 4, "test": 8}
    )


def test_columns_are_mapped_and_the_rest_can_be_kept(table, rows, read, everything):
    path = table([{**row, "dx": row.pop("answer"), "score": i / 2} for i, row in enumerate(rows())])
    found, _ = read(path, columns=["answer=dx"], keep=["score"])
    assert found == read(path, columns={"answer": "dx", "id": None}, keep=["score"])[0]
    assert {s.meta["score"] for s in everything(found)} == {str(i / 2) for i in range(20)}


HELP = [
    (
        {"columns": {"answer": "dxx"}},
        r"no column 'dxx' for the answer. Did you mean 'dx'\? The source has image, dx, text",
    ),
    ({}, r"Which column holds the answer\? The source has image, dx, text"),
    ({"columns": {"answer": "dx"}}, r"Which column holds the question\? The source has image, dx, text"),
    ({"columns": {"anwser": "dx"}}, "Did you mean 'answer'"),
    ({"columns": {"answer": "dx", "question": "text"}, "kind": "labels"}, "Did you mean 'label'"),
    ({"columns": {"answer": "dx", "question": "text"}, "keep": ["scor"]}, "no column to keep 'scor'"),
    ({"columns": {"answer": "dx", "question": "text"}, "test_share": 1.5}, "shares of splits must be"),
]


@pytest.mark.parametrize(("params", "message"), HELP, ids=[message for _, message in HELP])
def test_a_wrong_setting_lists_what_there_is(custom, table, params, message):
    path = table([{"image": "a.png", "dx": "x", "text": "?"}])
    with pytest.raises(UserError, match=message):
        custom.rows(path, "train", **params)


def test_several_images_a_row_and_a_tiff_made_a_png(table, tmp_path, rows, read):
    from PIL import Image

    path = table([{**row, "image": ["a.tif", row["image"]]} for row in rows(1)], "data.jsonl")
    Image.fromarray(np.full((10, 20), 7, np.uint8)).save(path.parent / "a.tif")
    found, dropped = read(path, val_share=0, test_share=0)
    (s,) = found["train"]
    assert [data[:4] for data in s.images] == [b"\x89PNG"] * 2 and not dropped


def test_a_broken_table_is_told_with_its_line(custom, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"image": "a", "answer": "b", "question": "?"}\n{broken\n')
    with pytest.raises(UserError, match=r"Line 2 of .*a.jsonl cannot be read as JSON"):
        custom.rows(path, "train")
    path = tmp_path / "a.csv"
    path.write_text("image,answer,question\na,b\n")
    with pytest.raises(UserError, match="Line 2 .* has 2 cells; its header has 3"):
        custom.rows(path, "train")
    path = tmp_path / "a.xlsx"
    path.write_bytes(b"PK")
    with pytest.raises(UserError, match="none of the files that can be read"):
        custom.rows(path, "train")
