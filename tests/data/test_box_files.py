import json
from pathlib import Path

import pytest

from medical_rl.data.rows import Drops
from medical_rl.data.sources import files, image_boxes
from medical_rl.data.sources.image_boxes import DrawnBox
from medical_rl.errors import UserError
from medical_rl.images import image_size

# The same box, columns 10 to 29 and rows 5 to 14 of an image of 100 x 50 (width x height), in all four forms.
BOX, SIZE = [10, 5, 30, 15], (50, 100)
COCO = {
    "images": [{"id": 7, "file_name": "heelspur/a.jpg"}],
    "categories": [{"id": 1, "name": "spur"}],
    "annotations": [{"image_id": 7, "category_id": 1, "bbox": [10, 5, 20, 10]}],
}
VOC = (
    "<annotation><filename>a.jpg</filename><object><name>spur</name><bndbox>"
    "<xmin>11</xmin><ymin>6</ymin><xmax>30</xmax><ymax>15</ymax></bndbox></object></annotation>"
)
CSV = "image,label,x1,y1,x2,y2\na.jpg,spur,10,5,30,15\n"


def read(path):
    drops = Drops()
    return image_boxes.read_boxes(path, drops), drops.summary()


def test_the_four_forms_give_the_same_box(put):
    # centre (20, 10) of 100 x 50 is (0.2, 0.2), size 20 x 10 is (0.2, 0.2)
    put("yolo/classes.txt", "other\nspur\n")
    forms = [
        put("coco.json", json.dumps(COCO)),
        put("voc/a.xml", VOC).parent,
        put("yolo/heelspur/a.txt", "1 0.2 0.2 0.2 0.2\n").parent.parent,
        put("boxes.csv", CSV),
        put(
            "other.csv",
            CSV.replace("x1,y1,x2,y2", "xmin,ymin,xmax,ymax").replace("image,label", "filename,class"),
        ),
    ]
    for form in forms:
        (drawn,), dropped = read(form)
        assert drawn.pixels(SIZE) == BOX and drawn.label == "spur" and not dropped, form
        assert files.image_stem(Path(drawn.image).name) == "a"


def test_the_real_coco_file_has_its_one_and_two_boxes(realdata):
    drawn, dropped = read(realdata / "cxr_bbox/TBX11K_train.json")
    assert [one.image for one in drawn] == ["tb/tb0005.png", "tb/tb0007.png", "tb/tb0007.png"] and not dropped
    assert drawn[0].label == "ActiveTuberculosis"
    # x 381.83 + 40.24 = 422.07, y 126.87 + 44.57 = 171.44
    assert drawn[0].pixels((512, 512)) == [381.83, 126.87, 422.07, 171.44]


def test_the_real_boxes_find_their_images_and_lie_within_them(realdata):
    found = {path: path.parent.name for path in files.below(realdata / "cxr_bbox/imgs")}
    drawn, _ = read(realdata / "cxr_bbox/TBX11K_train.json")
    drops = Drops()
    matched = image_boxes.match_to_images(drawn, found, {"tb": "tb", "health": "health"}.get, drops)
    # the healthy chest has none
    assert {path.name: len(boxes) for path, boxes in matched.items()} == {"tb0005.png": 1, "tb0007.png": 2}
    assert len(found) == 3 and not drops.summary()
    for path, boxes in matched.items():
        size = image_size(path.read_bytes())
        for one in boxes:
            x1, y1, x2, y2 = one.pixels(size)
            assert 0 <= x1 < x2 <= size[1] and 0 <= y1 < y2 <= size[0]


OUTSIDE = [(90, 5, 120, 15), (-9, 5, 30, 15), (10, 40, 30, 52), (200, 200, 210, 210)]
EMPTY = [(10, 5, 10, 15), (30, 5, 10, 15), (float("nan"), 5, 30, 15), (float("-inf"), 5, 30, 15)]


@pytest.mark.parametrize("sides", OUTSIDE + EMPTY)
def test_a_box_outside_the_image_or_without_area_is_none(sides):
    assert DrawnBox("a", "", sides).pixels(SIZE) is None


def test_a_pixel_of_rounding_beyond_the_edge_is_cut_off():
    assert DrawnBox("a", "", (-0.4, 0, 100.6, 50)).pixels(SIZE) == [0, 0, 100, 50]


def test_bad_files_and_lines_are_told_and_the_others_are_read(put):
    folder = put("voc/a.xml", VOC).parent
    put("voc/cut.xml", VOC[:40])
    put("voc/words.xml", VOC.replace("11", "eleven"))
    put("voc/lacks.xml", VOC.replace("<xmax>30</xmax>", ""))
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + VOC.replace("spur", "&b;")
    put("voc/bomb.xml", bomb)
    drawn, dropped = read(folder)
    assert len(drawn) == 1
    assert dropped["its box file cannot be read"]["rows"] == 3
    assert dropped["its box file declares XML entities"]["examples"] == ["boxes bomb.xml"]
    drawn, dropped = read(put("boxes.csv", CSV + "b.jpg,spur,ten,5,30,15\n"))
    assert len(drawn) == 1 and dropped["its box is not four numbers"]["examples"][0].startswith(
        "line 3 of boxes.csv"
    )
    put("yolo/a.txt", "0 0.2 0.2 0.2 0.2\n")
    drawn, dropped = read(put("yolo/b.txt", "0 0.2 0.2 0.2 wide\n").parent)
    assert len(drawn) == 1 and dropped["its box file cannot be read"]["rows"] == 1


@pytest.mark.parametrize(
    ("line", "n"), [("0 .1 .1 .3 .1 .3 .4 .1 .4", 9), ("0 .2 .2", 3), ("0 .1 .1 .3 .1 .3 .4", 7)]
)
def test_a_yolo_line_that_is_no_box_is_told_and_a_confidence_is_none(put, line, n):
    put("yolo/a.txt", "0 0.2 0.2 0.2 0.2 0.93\n")
    (drawn,), dropped = read(put("yolo/b.txt", f"0 0.2 0.2 0.2 0.2\n{line}\n").parent)
    assert drawn.pixels(SIZE) == BOX
    assert dropped[image_boxes.NO_BOX]["examples"] == [f"boxes b.txt: a line of {n} fields"]


def test_class_names_of_another_encoding_are_refused_with_their_file(put):
    put("yolo/a.txt", "0 0.2 0.2 0.2 0.2\n")
    folder = put("yolo/classes.txt", "éperon".encode("latin-1")).parent
    with pytest.raises(UserError, match="classes.txt cannot be read as UTF-8"):
        read(folder)


def test_what_is_no_box_file_is_refused(put, tmp_path):
    for path, reason in [
        (put("a.json", "{"), "cannot be read as JSON"),
        (put("e.json", "[]"), "is not COCO"),
        (put("b.json", json.dumps({**COCO, "annotations": [{"image_id": 8, "category_id": 1, "bbox": [1, 2, 3, 4]}]})), "KeyError: 8"),
        (put("c.json", json.dumps({**COCO, "annotations": [{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3]}]})), "is not COCO"),
        (put("d.csv", "image,x,y\na,1,2\n"), "boxes need one of image"),
        (put("empty/readme.md", "").parent, "holds no box files"),
        (tmp_path / "gone.json", "There are no boxes"),
    ]:  # fmt: skip
        with pytest.raises(UserError, match=reason):
            read(path)


IMAGES = {Path("s/normal/1.jpg"): "normal", Path("s/spur/1.png"): "spur", Path("s/spur/ü 2.jpg"): "spur"}


def match(*drawn):
    drops = Drops()
    known = {"normal": "normal", "spur": "spur"}.get
    found = image_boxes.match_to_images([DrawnBox(*one, (0, 0, 1, 1)) for one in drawn], IMAGES, known, drops)
    return {path.name: len(boxes) for path, boxes in found.items()}, drops.summary()


def test_boxes_find_their_image_by_class_folder_or_label_where_names_repeat():
    assert match(("train\\spur\\1.jpg", ""), ("1.jpg", "spur"), ("images/1.jpg", "normal"))[0] == {
        "1.png": 2,
        "1.jpg": 1,
    }
    assert match(("u\u0308 2.jpg", "anything"))[0] == {"ü 2.jpg": 1}


def test_a_box_of_no_one_image_is_told():
    found, dropped = match(("1.jpg", ""), ("../../etc/passwd", ""))
    assert found == {}
    assert [e.rsplit(": ")[-1] for e in dropped["a box is of no one image"]["examples"]] == [
        "2 images fit",
        "no image fits",
    ]
