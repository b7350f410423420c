import collections
import doctest
import json

import pytest

from medical_rl.data.prepare import readers
from medical_rl.errors import UserError

COUNTS = {"normal": 40, "heelspur": 30, "sever": 20}


@pytest.fixture
def heel():
    return readers.load_reader("heel")


@pytest.fixture
def mini(put, image_bytes):
    """A Heel of 40, 30 and 20 images of 8 x 10 pixels whose names repeat from folder to folder: 1.jpg, 2.jpg, ..."""

    def make(names=("normal", "heelspur", "sever"), above="Heel dataset/"):
        for number, (name, n) in enumerate(zip(names, COUNTS.values(), strict=True)):
            for i in range(n):
                path = put(f"{above}{name}/{i}.jpg", image_bytes(100 * number + i, format="JPEG"))
        return path.parents[len(above.split("/"))]

    return make


def test_every_image_is_in_one_split_and_a_tenth_of_each_class_is_the_test(heel, mini, read_all):
    samples, dropped = read_all(heel, mini())
    # 5 % of 40, 30, 20 are 2, 2 (1.5) and 1
    assert {split: len(rows) for split, rows in samples.items()} == {
        "train": 76,
        "val": 5,
        "test": 9,
    } and not dropped
    # 10 % of 40, 30, 20
    assert collections.Counter(s.answer for s in samples["test"]) == {
        "normal": 4,
        "heel spur": 3,
        "Sever's disease": 2,
    }
    s = samples["test"][0]
    assert (s.kind, s.source, s.choices) == ("label", "heel", ("normal", "heel spur", "Sever's disease"))
    assert s.id.startswith("heel/Heel dataset/") and s.size == (8, 10)
    assert [s.id for s in samples["test"]] != [s.id for s in read_all(heel, mini(), split_seed=5)[0]["test"]]


def test_the_published_counts_give_the_papers_396_test_images(heel):
    rows = [(f"{name} {i}", name) for name, n in heel.OFFICIAL.items() for i in range(n)]
    where = heel.split_by_group(rows, {"test": 0.1, "val": 0.05}, 0)
    # 10 % of 1842, 1316, 798, rounded: 184 + 132 + 80
    assert len(rows) == 3956 and collections.Counter(where.values())["test"] == 396


@pytest.mark.parametrize(
    "names", [("Normal", "Heel Spur", "Sever"), ("NORMAL", "heel_spur", "Sever's disease")]
)
def test_class_folders_are_known_in_other_spellings_and_severe_is_not_one(heel, mini, read_all, names):
    samples, _ = read_all(heel, mini(names, above="x/train/"))
    assert collections.Counter(s.answer for rows in samples.values() for s in rows)["Sever's disease"] == 20


def test_a_missing_class_folder_is_told_with_those_found(heel, mini, tmp_path):
    with pytest.raises(UserError, match="no images of sever; found: heelspur, normal, severe"):
        heel.rows(mini(("normal", "heelspur", "severe")), "train")
    with pytest.raises(UserError, match="There is no folder .*kaggle.com"):
        heel.rows(tmp_path / "gone", "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="found: no images at all"):
        heel.describe(tmp_path / "empty")


def test_identical_files_stay_in_one_split_and_in_two_classes_are_dropped(
    heel, mini, put, read_all, image_bytes
):
    source = mini()
    for i in range(20):
        put(f"Heel dataset/normal/copy of {i}.jpg", image_bytes(i, format="JPEG"))
    put(
        "Heel dataset/sever/wrong.jpg", image_bytes(139, format="JPEG")
    )  # heelspur/29 is of seed 100 + 29 = 129
    put("Heel dataset/sever/both.jpg", image_bytes(105, format="JPEG"))  # heelspur/5
    samples, dropped = read_all(heel, source)
    assert dropped == {
        "Heel dataset/sever/both.jpg": "the same file is in two class folders",
        "Heel dataset/heelspur/5.jpg": "the same file is in two class folders",
    }
    groups = [{s.group for s in rows} for rows in samples.values()]
    assert (
        sum(map(len, groups)) == len(set().union(*groups)) == 90
    )  # 90 contents + wrong.jpg - the contradictory one
    assert sum(map(len, samples.values())) == 90 + 20 + 1 - 1


def test_broken_images_are_reported_skips(heel, mini, put, read_all, image_bytes):
    source = mini()
    put("Heel dataset/sever/3.jpg", image_bytes(height=64, width=64, format="JPEG")[:900])
    put("Heel dataset/normal/ü 4.png", b"version https://git-lfs.github.com/spec/v1\n")
    samples, dropped = read_all(heel, source)
    assert dropped == {
        "Heel dataset/sever/3.jpg": "its image cannot be decoded",
        "Heel dataset/normal/ü 4.png": "its image is a git-lfs pointer, not the file itself",
    }
    assert sum(map(len, samples.values())) == 89


def lines_of_boxes():
    """Boxes of every heel spur, two of 18 feet with Sever's disease, one of a normal foot, and five of no use."""
    lines = ["image,label,x1,y1,x2,y2"]
    lines += [f"heelspur/{i}.jpg,,1,2,5,6" for i in range(30)]
    lines += [f"{i}.jpg,Sever,0,0,3,3\n{i}.jpg,Sever,5,5,10,8" for i in range(18)]
    lines += ["sever/18.jpg,,1,1,40,40", "sever/19.jpg,,4,4,4,6", "normal/0.jpg,,1,1,2,2", "7.jpg,,1,1,2,2"]
    return "\n".join([*lines, "../../secret.jpg,,1,1,2,2"]) + "\n"


def test_the_box_is_the_heel_bone_s_and_nothing_tells_the_class(heel, mini, put, read_all):
    # VRFT-Aug, section 3.2: "without receiving any classification-related information"; A.2: "the heel bone region"
    source = mini()
    put("boxes.csv", lines_of_boxes())
    samples, dropped = read_all(heel, source, boxes="boxes.csv")
    found = {s.meta["file"].removeprefix("Heel dataset/"): s for rows in samples.values() for s in rows}
    assert len(found) == 49 and {s.question for s in found.values()} == {heel.BOX_QUESTIONS["bone"]}
    for sample in found.values():
        seen = (
            sample.question,
            sample.choices,
            sample.knowledge,
            {k: v for k, v in sample.meta.items() if k != "file"},
        )
        assert not any(
            word in str(seen).lower() for word in ("spur", "sever", "normal", "disease", "finding")
        )
    assert "heel bone" in heel.BOX_QUESTIONS["bone"]
    spur, sever = found["heelspur/7.jpg"], found["sever/7.jpg"]
    assert (spur.kind, spur.source, spur.choices) == ("box", "heel_boxes", ())
    assert json.loads(spur.answer) == [1, 2, 5, 6] and json.loads(found["normal/0.jpg"].answer) == [
        1,
        1,
        2,
        2,
    ]
    assert json.loads(sever.answer) == [0, 0, 10, 8]
    assert sever.meta == {"file": "Heel dataset/sever/7.jpg", "boxes": 2}
    # 39 of 40 normal images have no box; one 7.jpg fits three folders, and one fits none
    assert collections.Counter(dropped.values()) == {
        "no box is given for it": 39,
        "its box is empty or outside the image": 2,
        "a box is of no one image": 2,
    }
    largest, _ = read_all(heel, source, boxes="boxes.csv", several="largest")
    # 3 x 3 = 9 and 5 x 3 = 15
    (same,) = [s for rows in largest.values() for s in rows if s.id == sever.id]
    assert json.loads(same.answer) == [5, 5, 10, 8]


def test_boxes_of_findings_are_an_option_whose_card_says_that_it_tells_the_class(heel, mini, put, read_all):
    source = mini()
    put("boxes.csv", lines_of_boxes())
    samples, dropped = read_all(heel, source, boxes="boxes.csv", target="finding")
    found = {s.meta["file"].removeprefix("Heel dataset/"): s for rows in samples.values() for s in rows}
    assert len(found) == 48 and "heel spur" in found["heelspur/7.jpg"].question
    sever = found["sever/7.jpg"]
    assert "Sever's disease" in sever.question and sever.meta["finding"] == "Sever's disease"
    assert collections.Counter(dropped.values())["it is normal and yet has a box"] == 1
    (told,) = [n for n in heel.describe(source, boxes="boxes.csv", target="finding")["notes"] if "class" in n]
    assert "tells the class" in told and "not VRFT-Aug's" in told
    with pytest.raises(UserError, match="Did you mean 'bone'"):
        heel.rows(source, "train", boxes="boxes.csv", target="bones")


def test_boxes_that_only_diseased_feet_have_are_said_to_be_no_bones(heel, mini, put):
    source = mini()
    put("boxes.csv", "image,x1,y1,x2,y2\nheelspur/0.jpg,1,2,5,6\n")
    (told,) = [
        note for note in heel.describe(source, boxes="boxes.csv")["notes"] if "No normal image" in note
    ]
    assert "boxes of findings" in told
    put("boxes.csv", lines_of_boxes())
    assert not [
        note for note in heel.describe(source, boxes="boxes.csv")["notes"] if "No normal image" in note
    ]


def test_both_tasks_have_the_same_split(heel, mini, put, read_all):
    source = mini()
    put("labels/heelspur/3.txt", "0 0.5 0.5 0.2 0.25\n")
    labels, _ = read_all(heel, source)
    boxes, _ = read_all(heel, source, boxes=str(source / "labels"))
    ((split, box),) = [(split, s) for split, rows in boxes.items() for s in rows]
    assert box.id in {s.id for s in labels[split]}
    # centre (5, 4), size 2 x 2 of 10 x 8 pixels
    assert json.loads(box.answer) == [4, 3, 6, 5]


def test_the_card_tells_counts_that_are_not_the_published_ones(heel, mini):
    about = heel.describe(mini())
    assert about["altered"][0] == "normal has 40 images, official 1,842" and about["licence"] == "Apache-2.0"
    assert any("Sever's disease is of children" in note for note in about["notes"])


def test_by_hand_it_is_prepared_and_a_wrong_option_exits_2(heel, mini, tmp_path, capsys):
    source, out = mini(), tmp_path / "out"
    assert heel.main(["--source", str(source), "--out", str(out), "--knowledge", "heel"]) == 0
    assert json.loads((out / "card.json").read_text())["knowledge"]["name"] == "heel"
    assert heel.main(["--source", str(source), "--out", str(tmp_path / "b"), "--boxes", "gone.json"]) == 2
    assert "There are no boxes at" in capsys.readouterr().err
    assert heel.main(["--source", str(source), "--out", str(tmp_path / "b"), "--several", "all"]) == 2
    assert "largest, union" in capsys.readouterr().err and not (tmp_path / "b").exists()


def test_nothing_left_exits_1_and_says_why(heel, mini, put, tmp_path, capsys):
    put("boxes.csv", "image,x1,y1,x2,y2\nsever/0.jpg,90,90,99,99\n")
    assert heel.main(["--source", str(mini()), "--out", str(tmp_path / "out"), "--boxes", "boxes.csv"]) == 1
    assert "Dropped 1 row: its box is empty or outside the image" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_its_examples_run(heel):
    assert doctest.testmod(heel).failed == 0
