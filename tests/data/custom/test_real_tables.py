"""Annotation tables as users bring them: the real files of ../shared/realdata/tables and what they stand for."""

import csv
import hashlib
import json
import re

import pytest

from medical_rl.data.prepare import command, prepare
from medical_rl.errors import UserError


@pytest.fixture
def real_table(realdata, tmp_path, picture):
    """A function that copies a real table and draws a picture of each of the named files beside it."""

    def make(name, images, folder="images"):
        path = tmp_path / name
        path.write_bytes((realdata / "tables" / name).read_bytes())
        (tmp_path / folder).mkdir(exist_ok=True)
        for number, image in enumerate(dict.fromkeys(images)):
            (tmp_path / folder / image).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / image).write_bytes(picture(number % 250))
        return path

    return make


def column(path, name):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("name", "image", "answer", "suffix"),
    [
        ("fitzpatrick17k_first299.csv", "md5hash", "three_partition_label", ".jpg"),
        ("hyperkvasir_image-labels_first299.csv", "Video file", "Finding", ".JPG"),
    ],
)
def test_image_names_without_an_extension_find_their_file(
    realdata, real_table, read, everything, name, image, answer, suffix
):
    names = column(realdata / "tables" / name, image)
    path = real_table(name, [f"{each}{suffix}" for each in names])
    params = {
        "columns": {"image": image, "answer": answer},
        "question": "Which?",
        "images": str(path.parent / "images"),
    }
    found, dropped = read(path, **params)
    assert len(everything(found)) == 299 and not dropped


OTHER_WAYS = {
    "backslashes": "scans\\ü {}.png",
    "another case": "SCANS/Ü {}.PNG",
    "another extension": "scans/ü {}.jpg",
    "no extension": "scans/ü {}",
    "a dot in front": ".\\scans\\ü {}.png",
}


@pytest.mark.parametrize("way", OTHER_WAYS.values(), ids=OTHER_WAYS)
def test_an_image_is_found_however_the_table_writes_its_name(table, rows, read, everything, picture, way):
    path = table(rows())
    path.write_text(
        re.sub(r"scans/ü (\d+)\.png", lambda m: way.format(m[1]), path.read_text(encoding="utf-8")),
        encoding="utf-8",
    )
    found, dropped = read(path)
    assert {s.id: s.images for s in everything(found)}["row 3"] == (picture(2),) and not dropped


def test_a_name_that_may_be_two_files_or_another_class_s_is_never_guessed(table, rows, read, picture):
    path = table(
        [
            {"image": "sever/7.png", "answer": "b", "question": "?"},
            {"image": "9", "answer": "a", "question": "?"},
        ]
        + rows(8),
        images=False,
    )
    for name in ("normal/7.png", "7.png", "9.png", "9.jpg", *(row["image"] for row in rows(8))):
        (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / name).write_bytes(picture(sum(name.encode()) % 250))
    _, dropped = read(path)
    assert dropped == {"its image is not in the folder": 1, "several files that differ could be its image": 1}


def test_one_image_written_in_two_ways_is_one_group(table, rows, read, everything):
    path = table(
        rows(10)
        + [
            {**row, "image": row["image"].upper().replace("/", "\\").removesuffix(".PNG")} for row in rows(10)
        ],
        images=False,
    )
    table(rows(10), "other.csv")
    found, dropped = read(path)
    groups = [{s.group for s in samples} for samples in found.values()]
    assert (
        sum(map(len, groups)) == len(set().union(*groups)) == 10
        and len(everything(found)) == 20
        and not dropped
    )


def test_a_missing_image_is_told_with_the_folder_and_the_nearest_file(custom, table, rows):
    from medical_rl.data.rows import Drops

    path = table(rows())
    (path.parent / "scan").mkdir()
    (path.parent / "scans/ü 7.png").rename(path.parent / "scan/ü 7.png")
    drops = Drops()
    for split in custom.SPLITS:
        list(custom.rows(path, split, drops=drops))
    (told,) = drops.summary()["its image is not in the folder"]["examples"]
    assert told == "row 8: scans/ü 7.png is not in set; the nearest file is scan/ü 7.png"
    assert str(path.parent) not in told


def test_a_web_address_is_refused_with_what_to_do(table, rows, read):
    content = rows()
    content[4]["image"] = "https://example.org/a/b.jpg"
    _, dropped = read(table(content, images=False))
    ((reason, count),) = [(r, n) for r, n in dropped.items() if "web" in r]
    assert reason == "its image is a web address: download the images, and name their files" and count == 1


def test_real_labels_with_nine_nameless_columns_are_read(realdata, read, everything, custom):
    folder = realdata / "idrid"
    params = {
        "columns": {"image": "Image name", "answer": "Retinopathy grade"}, "kind": "grade", "question": "Which grade?",
        "images": str(folder / "1. Original Images/a. Training Set"),
    }  # fmt: skip
    path = folder / "2. Groundtruths/a. IDRiD_Disease Grading_Training Labels.csv"
    found, dropped = read(path, **params)
    # 10 of the 413 images are here, 2 a grade
    assert sorted(s.answer for s in everything(found)) == sorted("0011223344")
    assert dropped == {"its image is not in the folder": 403}
    assert custom.describe(path, **params)["columns"]["image"] == "Image name"


def test_a_nameless_column_that_holds_something_has_its_number_and_two_of_a_name_are_refused(
    custom, tmp_path, read
):
    path = tmp_path / "a.csv"
    path.write_text("image,,answer,,\na.png,which?,x,,\n")
    with pytest.raises(UserError, match="The source has image, column 2, answer"):
        custom.rows(path, "train")
    path.write_text("image,answer,answer\na.png,x,y\n")
    with pytest.raises(UserError, match="columns answer twice"):
        custom.rows(path, "train")


def test_nihs_boxes_in_four_columns_are_left_top_width_height(realdata, real_table, read, everything):
    from PIL import Image

    name = "BBox_List_2017.csv"
    images = column(realdata / "tables" / name, "Image Index")[:60]
    path = real_table(name, images)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:61]))
    for image in set(images):
        colour = tuple(hashlib.sha256(image.encode()).digest()[:3])  # no two images are the same
        Image.new("RGB", (1024, 1024), colour).save(path.parent / "images" / image)
    params = {
        "columns": {"image": "Image Index", "id": None}, "kind": "box", "question": "Where is the finding?",
        "images": str(path.parent / "images"),
    }  # fmt: skip
    found, dropped = read(path, **params)
    box = {s.id: json.loads(s.answer) for s in everything(found)}["row 1"]
    # 225.08 + 86.78 = 311.86, 547.02 + 79.19 = 626.21
    assert box == pytest.approx([225.0847458, 547.0192168, 311.86440746, 626.20565748])
    assert len(everything(found)) == 60 and not dropped


CORNERS = {
    "x1,y1,x2,y2": "1,2,9,8", "xmin,ymin,xmax,ymax": "1,2,9,8", "x,y,w,h": "1,2,8,6", "bbox_x,bbox_y,bbox_width,bbox_height": "1,2,8,6",
    "left,top,right,bottom": "1,2,9,8",
}  # fmt: skip


@pytest.mark.parametrize("names", CORNERS)
def test_boxes_in_four_columns_by_name_or_named(table, rows, read, everything, names):
    numbers = dict(zip(names.split(","), CORNERS[names].split(","), strict=True))
    content = [{"image": row["image"], "question": "Where?", **numbers} for row in rows()]
    for columns in (None, {"answer": names.split(",")}, [f"answer={names}"]):
        found, dropped = read(table(content), kind="box", columns=columns)
        assert {s.answer for s in everything(found)} == {"[1, 2, 9, 8]"} and not dropped


def test_four_columns_whose_names_say_nothing_are_refused(custom, table):
    path = table([{"image": "a.png", "question": "Where?", "a": 1, "b": 2, "c": 3, "d": 4}])
    with pytest.raises(UserError, match="a, b, c, d do not say whether .* corners .* or .* width and height"):
        custom.rows(path, "train", kind="box", columns={"answer": ["a", "b", "c", "d"]})


def test_a_json_keyed_by_name_has_its_key_as_a_column_and_boxes_as_objects(
    realdata, real_table, read, everything, tmp_path
):
    from PIL import Image

    name = "kvasir_instrument_bboxes.json"
    entries = json.loads((realdata / "tables" / name).read_text())
    path = real_table(name, [])
    for key, entry in entries.items():
        colour = tuple(hashlib.sha256(key.encode()).digest()[:3])
        Image.new("RGB", (entry["width"], entry["height"]), colour).save(tmp_path / "images" / f"{key}.png")
    params = {
        "columns": {"image": "key", "answer": "bbox"}, "kind": "box", "question": "Where is the instrument?",
        "images": str(tmp_path / "images"),
    }  # fmt: skip
    several = sum(len(entry["bbox"]) > 1 for entry in entries.values())
    found, dropped = read(path, **params)
    # a question that asks for the box has one
    assert (
        several > 0
        and len(everything(found)) == len(entries) - several
        and list(dropped.values()) == [several]
    )
    both = {s.group: json.loads(s.answer) for s in everything(read(path, several="union", **params)[0])}
    one = "ckcx9e1ei001d3b5yr8erdyxv"
    assert len(both) == len(entries) and next(box for group, box in both.items() if one in group) == [
        180,
        20,
        599,
        557,
    ]
    largest = {s.group: json.loads(s.answer) for s in everything(read(path, several="largest", **params)[0])}
    # 136 x 171 = 23,256 against 170 x 153 = 26,010
    assert next(box for group, box in largest.items() if one in group) == [429, 404, 599, 557]
    each = everything(read(path, several="each", **params)[0])
    assert len(each) == len(entries) and sum(s.answer.startswith("[[") for s in each) == several


def test_jsonl_that_is_one_list_and_json_in_splits_are_read(table, rows, read, everything):
    path = table(rows(), "data.jsonl")
    path.write_text(json.dumps(rows(), indent=1))
    assert len(everything(read(path)[0])) == 20
    path.write_text(json.dumps(rows()))
    assert len(everything(read(path)[0])) == 20
    path = table(rows(), "b.json")
    path.write_text(json.dumps({"train": rows()[:14], "validation": rows()[14:16], "test": rows()[16:]}))
    path.parent.joinpath("data.jsonl").unlink()
    assert {split: len(samples) for split, samples in read(path)[0].items()} == {
        "train": 14,
        "val": 2,
        "test": 4,
    }
    path.write_text(json.dumps({"version": 1, "data": rows()}))
    assert len(everything(read(path)[0])) == 20


def vqa_rad(realdata, out, **params):
    columns = {"split": "official_split"}
    data = {
        "name": "vqa_rad", "reader": "custom", "source": str(realdata / "vqa_rad/vqa_rad_yesno_DERIVED.csv"),
        "params": {"columns": columns, "kind": "yes_no", **params},
    }  # fmt: skip
    return prepare.prepare(data, command.load_prompt("yes_no"), out, 0, 1)


def test_the_official_split_of_vqa_rad_leaks_and_is_taken_only_if_told(realdata, tmp_path):
    with pytest.raises(prepare.BadSplit, match=r"allow_leaks=true"):
        vqa_rad(realdata, tmp_path / "a")
    card = vqa_rad(realdata, tmp_path / "b", allow_leaks=True)
    # the groups are the images: of the 203 in the official test split those with a yes/no question
    assert card["leaks"]["train and test"] == 110
    (sentence,) = [each for each in card["warnings"] if "both train and test" in each]
    assert sentence in (tmp_path / "b/README.md").read_text()


def test_several_boxes_that_stay_are_said_on_the_card(custom, table, rows, tmp_path, capsys):
    path = table(rows(answer=lambda i: "[[1, 2, 5, 6], [3, 4, 9, 9]]" if i == 3 else "[1, 2, 5, 6]"))
    options = ["--source", str(path), "--kind", "box", "--prompt", "detection"]
    assert custom.main([*options, "--out", str(tmp_path / "a")]) == 0
    assert (
        "Dropped 1 row: it has several boxes where one is asked for: several=union" in capsys.readouterr().out
    )
    assert custom.main([*options, "--out", str(tmp_path / "b"), "--several", "each"]) == 0
    assert "the prompt must ask for each; conf/prompt=detection asks for one" in capsys.readouterr().out


def test_the_folder_a_hub_set_is_read_in_is_not_searched(tmp_path, monkeypatch):
    from medical_rl.data.sources import files

    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.png").write_bytes(b"")
    monkeypatch.setattr(files, "below", lambda *_: 1 / 0)
    folder = files.ImageFolder(tmp_path, is_listed=False)
    assert folder.find("a/X.PNG") == [] and folder.find("a/x.png") == [tmp_path / "a/x.png"]
