"""A user's own data: every form of table, every kind of answer, drawn and given splits, and what is refused."""

import csv
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medical_rl.data import command, parquet, prepare, readers
from medical_rl.data.drops import Drops
from medical_rl.data.images import encode_png
from medical_rl.errors import UserError


@pytest.fixture
def custom():
    return readers.load_reader("custom")


def picture(number):
    return encode_png(np.full((10, 20), number, np.uint8))


@pytest.fixture
def table(tmp_path):
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
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
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


def rows(n=20, **changes):
    found = [
        {"image": f"scans/ü {i}.png", "answer": ("normal", "pneumonia")[i % 2], "question": "Which?"} for i in range(n)
    ]
    return [{**row, **{key: value(i) for key, value in changes.items()}} for i, row in enumerate(found)]


def read(custom, source, **params):
    drops = Drops()
    found = {split: list(custom.rows(source, split, drops=drops, **params)) for split in custom.SPLITS}
    return found, {reason: entry["rows"] for reason, entry in drops.summary().items()}


def everything(found):
    return [sample for samples in found.values() for sample in samples]


@pytest.mark.parametrize("name", ["data.csv", "data.jsonl", "data.json"])
def test_a_table_gives_three_splits_with_every_row_once(custom, table, name):
    found, dropped = read(custom, table(rows(), name))
    # 10 rows a class: 2 for test, 1 for val
    assert {split: len(samples) for split, samples in found.items()} == {"train": 14, "val": 2, "test": 4}
    assert len({s.id for s in everything(found)}) == 20 and not dropped
    s = next(s for s in everything(found) if s.id == "row 2")
    assert (s.kind, s.answer, s.choices, s.question) == ("label", "pneumonia", ("normal", "pneumonia"), "Which?")
    assert s.images == (picture(1),) and s.size == (10, 20) and s.source == "custom"


def test_parquet_with_its_own_images_is_read(custom, tmp_path):
    cells = [{"image": {"bytes": picture(i), "path": None}, "answer": "ab"[i % 2]} for i in range(20)]
    pq.write_table(pa.Table.from_pylist(cells), tmp_path / "a.parquet")
    found, dropped = read(custom, tmp_path / "a.parquet", question="Which?")
    assert {s.images for s in everything(found)} == {(picture(i),) for i in range(20)} and not dropped


@pytest.mark.parametrize("by_split", [True, False])
def test_a_folder_of_class_folders(custom, tmp_path, by_split):
    for i in range(40):
        split = ("training", "test")[i % 4 == 0] if by_split else "."
        path = tmp_path / "set" / split / ("benign", "malignant")[i // 20] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(i))
    found, dropped = read(custom, tmp_path / "set", question="Which?")
    assert {s.choices for s in everything(found)} == {("benign", "malignant")} and not dropped
    # by folder: 30 training images, of each class's 15 two (1.5 rounded) go to val
    assert {k: len(v) for k, v in found.items()} == (
        {"train": 26, "val": 4, "test": 10} if by_split else {"train": 28, "val": 4, "test": 8}
    )


def test_columns_are_mapped_and_the_rest_can_be_kept(custom, table):
    path = table([{**row, "dx": row.pop("answer"), "score": i / 2} for i, row in enumerate(rows())])
    found, _ = read(custom, path, columns=["answer=dx"], keep=["score"])
    assert found == read(custom, path, columns={"answer": "dx", "id": None}, keep=["score"])[0]
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


@pytest.mark.parametrize(
    ("kind", "answer", "more", "want"),
    [
        ("yes_no", "Yes.", {}, ("yes", ("yes", "no"))),
        ("yes_no", "NO", {}, ("no", ("yes", "no"))),
        ("grade", "3.0", {}, ("3", ("3",))),
        ("choice", "b", {"choices": "CT | MRI, T1"}, ("MRI, T1", ("CT", "MRI, T1"))),
        ("choice", "mri, t1.", {"choices": '["CT", "MRI, T1"]'}, ("MRI, T1", ("CT", "MRI, T1"))),
        ("box", "1, 2, 19, 10", {}, ("[1, 2, 19, 10]", ())),
        ("box", "[[1, 2, 5, 6], [3.5, 4, 9, 9]]", {}, ("[[1, 2, 5, 6], [3.5, 4, 9, 9]]", ())),
    ],
)
def test_every_kind_of_answer(custom, table, kind, answer, more, want):
    found, dropped = read(custom, table([{**row, "answer": answer, **more} for row in rows()]), kind=kind)
    assert {(s.answer, s.choices) for s in everything(found)} == {want} and not dropped
    assert {s.kind for s in everything(found)} == {kind}


@pytest.mark.parametrize(
    ("kind", "answer", "reason"),
    [
        ("yes_no", "maybe", "its answer is neither yes nor no"),
        ("grade", "high", "its answer is no whole number"),
        ("grade", "2.5", "its answer is no whole number"),
        ("choice", "E", "its answer is the letter of no option"),
        ("box", "1, 2, 3", "its box is not four numbers"),
        ("box", "__import__('os')", "its box is not four numbers"),
        ("box", "5, 5, 5, 9", "its box is empty: x1 < x2 and y1 < y2 are needed"),
        ("box", "1, 2, 21, 9", "its box reaches outside the image"),
        ("box", "-1, 2, 9, 9", "its box reaches outside the image"),
        ("label", "", "it has no answer"),
        ("label", " ", "it has no answer"),
    ],
)
def test_an_answer_that_is_none_is_told_with_its_row(custom, table, kind, answer, reason):
    good = {"yes_no": "yes", "grade": "1", "choice": "CT", "box": "1, 2, 3, 4", "label": "normal"}[kind]
    more = {"choices": "CT|MRI"} if kind == "choice" else {}
    content = [{**row, "answer": answer if i == 7 else good, **more} for i, row in enumerate(rows())]
    found, dropped = read(custom, table(content), kind=kind)
    assert dropped == {reason: 1} and len(everything(found)) == 19


def test_rows_of_one_group_or_one_image_stay_together(custom, table):
    # 60 rows, 3 a patient; the first picture of patient 2k is also the first of patient 2k + 1.
    content = rows(60, group=lambda i: f"patient {i // 3}")
    for k in range(10):
        content[6 * k + 3]["image"] = content[6 * k]["image"]
    found, _ = read(custom, table(content))
    place = {s.id: split for split, samples in found.items() for s in samples}
    assert all(len({place[f"row {6 * k + j}"] for j in range(1, 7)}) == 1 for k in range(10))
    assert all(found.values())


def test_two_files_of_equal_bytes_stay_together(custom, table):
    path = table(rows(40))
    for i in range(0, 40, 2):
        (path.parent / f"scans/ü {i + 1}.png").write_bytes(picture(i))
    found, _ = read(custom, path)
    images = {split: {s.images for s in samples} for split, samples in found.items()}
    assert sum(map(len, images.values())) == 20 and all(images.values())


def test_given_splits_are_kept_and_a_missing_one_is_drawn_from_train(custom, table):
    said = ["Training"] * 12 + ["TEST"] * 6 + ["fold 3", ""]
    found, dropped = read(custom, table(rows(split=lambda i: said[i])))
    assert {split: len(samples) for split, samples in found.items()} == {"train": 10, "val": 2, "test": 6}
    assert dropped == {"its split is none of train, val and test": 2}


def test_one_table_a_split(custom, table):
    table(rows(8), "train.csv")
    table(rows(6), "validation.csv")
    path = table(rows(4), "test.csv")
    found, _ = read(custom, path.parent)
    # The same pictures in all three: the splits given are not questioned here but in the check.
    assert {split: len(samples) for split, samples in found.items()} == {"train": 8, "val": 6, "test": 4}
    table(rows(3), "more.csv")
    with pytest.raises(UserError, match="several tables: more.csv, test.csv"):
        custom.rows(path.parent, "train")


def test_the_draw_is_seeded_and_does_not_depend_on_row_order(custom, table):
    content = rows(40, id=lambda i: f"case-{i}", group=lambda i: f"p{i // 2}")
    tested = {s.id for s in read(custom, table(content))[0]["test"]}
    assert tested == {s.id for s in read(custom, table(content[::-1]))[0]["test"]}
    assert tested != {s.id for s in read(custom, table(content), split_seed=1)[0]["test"]}


def test_the_draw_does_not_depend_on_where_the_set_lies_and_no_path_of_the_machine_is_kept(custom, table, tmp_path):
    here = table(rows(40))
    shutil.copytree(here.parent, tmp_path / "elsewhere/copy")
    found, moved = (read(custom, path)[0] for path in (here, tmp_path / "elsewhere/copy/data.csv"))
    assert found == moved and found["test"][0].group.startswith("scans/")
    assert str(tmp_path) not in "".join(sample.to_json() for sample in everything(found))


def test_broken_rows_are_told_and_the_others_are_kept(custom, table):
    content = rows(id=lambda i: f"case-{i if i != 5 else 4}")
    content[6]["image"], content[7]["image"] = "../secret.png", "/etc/hostname"
    content[8]["image"] = "scans/gone.png"
    path = table(content)
    (path.parent / "scans/gone.png").unlink()
    (path.parent.parent / "secret.png").write_bytes(picture(1))
    (path.parent / "scans/ü 0.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    whole = encode_png(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    (path.parent / "scans/ü 1.png").write_bytes(whole[:-200])
    found, dropped = read(custom, path)
    assert len(everything(found)) == 14
    assert dropped == {
        "its id is taken by another row": 1,
        "the path of its image leaves the image folder": 2,
        "its image is not in the folder": 1,
        "its image is a git-lfs pointer, not the file itself": 1,
        "its image cannot be decoded": 1,
    }


def test_several_images_a_row_and_a_tiff_made_a_png(custom, table, tmp_path):
    from PIL import Image

    path = table([{**row, "image": ["a.tif", row["image"]]} for row in rows(1)], "data.jsonl")
    Image.fromarray(np.full((10, 20), 7, np.uint8)).save(path.parent / "a.tif")
    found, dropped = read(custom, path, val_share=0, test_share=0)
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


def test_nothing_half_written_remains_and_the_next_attempt_works(table, custom, tmp_path):
    path, out = table(rows(), images=False), tmp_path / "out"
    config = {"name": "mine", "reader": "custom", "source": str(path)}
    prompt = command.load_prompt("class_names")
    with pytest.raises(UserError, match="no rows left") as error:
        prepare.prepare(config, prompt, out, 0, 1)
    assert error.value.exit_code == 1 and list(out.iterdir()) == []
    table(rows())
    card = prepare.prepare(config, prompt, out, 0, 1)
    assert card["splits"]["train"]["rows"] == 14 and parquet.count_rows(out / "test.parquet") == 4
    assert prepare.prepare(config, prompt, out, 0, 1) == card
    # A changed picture is a changed set, though the table is the same.
    (path.parent / "scans/ü 3.png").write_bytes(picture(99))
    assert prepare.prepare(config, prompt, out, 0, 1)["recipe"] != card["recipe"]


@pytest.mark.skipif(not hasattr(readers, "takes_drops"), reason="prepare does not hand out Drops here")
def test_dropped_rows_reach_the_card(table, tmp_path):
    path = table(rows())
    (path.parent / "scans/ü 3.png").unlink()
    card = prepare.prepare(
        {"reader": "custom", "source": str(path)}, command.load_prompt("class_names"), tmp_path / "out", 0, 1
    )
    assert card["dropped"]["its image is not in the folder"]["rows"] == 1


def test_by_hand_to_the_exit_code(custom, table, tmp_path, capsys):
    path = table(rows())
    arguments = ["--source", str(path), "--out", str(tmp_path / "out")]
    assert custom.main([*arguments, "--columns", "answer=answer", "--kind", "label", "--balanced", "6"]) == 0
    assert "train: 6 rows; 50.0% are 'normal'" in capsys.readouterr().out
    assert custom.main([*arguments, "--columns", "answer=dx"]) == 2
    assert "The source has image, answer, question" in capsys.readouterr().err
