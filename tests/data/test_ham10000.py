import collections
import csv
import doctest
import io
import json

import numpy as np
import pytest
from PIL import Image

from medical_rl.data import ham10000_table, readers
from medical_rl.data.drops import Drops
from medical_rl.errors import UserError

DIRTY = "HAM10000_metadata_DIRTY_renamed_dx.csv"
ONE_HOT = "GroundTruth_onehot.csv"
HEAD = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n"


@pytest.fixture
def ham():
    return readers.load_reader("ham10000")


@pytest.fixture
def real(realdata):
    return realdata / "ham10000"


def mask_bytes(*rectangles, size=(8, 10), mode="L"):
    pixels = np.zeros(size, np.uint8)
    for x1, y1, x2, y2 in rectangles:
        pixels[y1:y2, x1:x2] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def mini(put, image_bytes):
    """A HAM10000 of 40 lesions with one image each and ten of mel with two: 60 rows; images in two folders, masks beside."""

    def make(table="HAM10000_metadata.csv", head=HEAD, masks=True):
        names = [(f"HAM_{i:07}", f"ISIC_{i:07}", "nv" if i < 40 else "mel") for i in range(50)]
        names += [(f"HAM_{i:07}", f"ISIC_{i + 50:07}", "mel") for i in range(40, 50)]
        n = head.count(",") + 1
        rows = [
            ",".join([*row, "histo", ("80", "80.0", "")[i % 3], "male", "back", "rosendahl"][:n])
            for i, row in enumerate(names)
        ]
        path = put(table, head + "\n".join(rows) + "\n")
        for i, (_, image, _) in enumerate(names):
            put(f"HAM10000_images_part_{1 + i % 2}/{image}.jpg", image_bytes(i, format="JPEG"))
            if masks:
                put(
                    f"HAM10000_segmentations_lesion_tschandl/{image}_segmentation.png", mask_bytes((2, 1, 5 + i % 4, 6))
                )
        return path.parent

    return make


def test_the_real_table_gives_the_papers_2003_test_images_with_every_lesion_whole(ham, real):
    found = ham10000_table.load(real, None, Drops())
    assert found.path.name == "HAM10000_metadata.csv" and len(found.lesions) == 10_015 and found.altered == ()
    where = ham.grouped(((x.lesion, x.dx) for x in found.lesions), {"test": 0.2, "val": 0.05}, 0)
    assert len(where) == 7470
    counts = collections.Counter(where[lesion.lesion] for lesion in found.lesions)
    # 20 % of each class, rounded: 1341 + 223 + 220 + 103 + 65 + 28 + 23 = 2003
    assert counts["test"] == 2003 and counts["val"] == 501
    # of 10,015 blank ages are 57; "80" is 80
    assert sum(lesion.meta["age"] is None for lesion in found.lesions) == 57
    assert found.lesions[0] == (
        "ISIC_0027419",
        "HAM_0000118",
        "bkl",
        {"dx_type": "histo", "sex": "male", "localization": "scalp", "age": 80},
    )


def test_the_real_dirty_table_is_repaired_to_the_clean_one_and_says_so(ham, real):
    clean = {x.image: x.dx for x in ham10000_table.load(real, None, Drops()).lesions}
    dirty = ham10000_table.load(real, DIRTY, Drops())
    assert {x.image: x.dx for x in dirty.lesions} == clean
    assert len(dirty.altered) == 7
    assert "dx 'Melanomaanocytic Nevi (moles)' is read as nv in 6,705 rows" in dirty.altered


def test_the_real_one_hot_table_agrees_and_takes_its_lesions_from_the_metadata(ham, real):
    clean = {x[:3] for x in ham10000_table.load(real, None, Drops()).lesions}
    assert {x[:3] for x in ham10000_table.load(real, ONE_HOT, Drops()).lesions} == clean


def test_the_real_masks_give_the_boxes_that_pillow_sees(ham, real, read_all):
    samples, dropped = read_all(ham, real, task="boxes")
    found = {s.id.split("/")[1]: s for rows in samples.values() for s in rows}
    boxes = {name: json.loads(s.answer) for name, s in found.items()}
    assert boxes == {
        "ISIC_0024311": [71, 105, 515, 410],
        "ISIC_0027001": [158, 28, 413, 338],
        "ISIC_0027287": [25, 2, 523, 450],  # it touches the lower border of the 600 x 450 image
    }
    for name, box in boxes.items():
        assert tuple(box) == Image.open(real / f"masks/{name}_segmentation.png").getbbox()
    largest, _ = read_all(ham, real, task="boxes", part="largest")
    assert {s.answer for rows in largest.values() for s in rows} == {s.answer for s in found.values()}
    assert collections.Counter(dropped.values()) == {"its image is not in the folder": 10_012}
    assert all(s.size == (450, 600) and s.kind == "box" and s.meta["finding"] == "lesion" for s in found.values())


def test_a_row_of_the_real_set_for_classification(ham, real, read_all):
    samples, _ = read_all(ham, real)
    (s,) = [s for rows in samples.values() for s in rows if s.id == "ham10000/ISIC_0027001"]
    assert (s.kind, s.answer, s.group, s.source) == ("label", "melanocytic nevi", "HAM_0003134", "ham10000")
    assert s.choices == tuple(ham10000_table.CLASSES.values()) and len(s.choices) == 7
    assert s.images == ((real / "images/ISIC_0027001.jpg").read_bytes(),)
    assert s.meta["age"] == 40


def test_no_lesion_is_in_two_splits_and_both_tasks_have_the_same_split(ham, mini, read_all):
    source = mini()
    samples, dropped = read_all(ham, source)
    groups = [{s.group for s in samples[split]} for split in ham.SPLITS]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 50 and not dropped
    # 20 % of 40 nv and of 20 mel images are 8 and 4
    assert collections.Counter(s.answer for s in samples["test"]) == {"melanocytic nevi": 8, "melanoma": 4}
    boxes, _ = read_all(ham, source, task="boxes")
    assert [[s.id for s in boxes[split]] for split in ham.SPLITS] == [
        [s.id for s in samples[split]] for split in ham.SPLITS
    ]
    other, _ = read_all(ham, source, split_seed=1)
    assert {s.group for s in other["test"]} != groups[2]


def test_the_split_does_not_change_where_images_are_missing(ham, mini, read_all):
    source = mini()
    before, _ = read_all(ham, source)
    gone = [path for path in source.glob("*part_1/*.jpg")][:20]
    for path in gone:
        path.unlink()
    after, dropped = read_all(ham, source)
    assert len(dropped) == 20
    for split in ham.SPLITS:
        assert [s.id for s in after[split]] == [s.id for s in before[split] if s.id.split("/")[1] not in dropped]


@pytest.mark.parametrize(
    "table", ["HAM10000_metadata", "HAM10000_metadata.tab", "HAM10000_metadata.csv", "meta (1).csv"]
)
@pytest.mark.parametrize("head", [HEAD, HEAD.replace(",dataset", "")], ids=["8 columns", "7 columns"])
def test_the_table_comes_under_several_names_with_7_or_8_columns(ham, mini, read_all, table, head):
    samples, dropped = read_all(ham, mini(table, head, masks=False))
    assert sum(map(len, samples.values())) == 60 and not dropped
    # ages "80", "80.0" and blank in turn
    assert collections.Counter(s.meta["age"] for rows in samples.values() for s in rows) == {80: 40, None: 20}


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-5", "999", "unknown", "1e3"])
def test_an_age_that_is_none_becomes_null_and_is_counted(ham, mini, text):
    source = mini(masks=False)
    path = source / "HAM10000_metadata.csv"
    path.write_text(path.read_text().replace("80.0", text))
    about = ham.describe(source)
    assert "40 rows have no usable age." in about["notes"]
    (first, *_) = ham.rows(source, "train")
    assert "NaN" not in first.to_json()


BAD_DX = ["Lesion", "", "nevus or melanoma", "scc"]


@pytest.mark.parametrize("dx", BAD_DX)
def test_a_dx_that_is_not_clear_is_refused_with_what_was_found_and_what_is_known(ham, mini, dx):
    source = mini(masks=False)
    path = source / "HAM10000_metadata.csv"
    path.write_text(path.read_text().replace("ISIC_0000003,nv", f"ISIC_0000003,{dx}"))
    with pytest.raises(UserError) as error:
        ham.describe(source)
    for part in (repr(dx), "line 5", "mel (melanoma)", "nv (melanocytic nevi)", str(path)):
        assert part in str(error.value)


def test_the_counts_of_an_altered_table_are_told(ham, mini):
    altered = ham.describe(mini(masks=False))["altered"]
    assert "nv has 40 rows, official 6,705" in altered and "df has 0 rows, official 115" in altered


def one_hot(source, marks):
    """Writes the ground truth of `marks` {image: class index} and removes the metadata."""
    columns = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
    lines = [",".join(["image", *columns])]
    lines += [",".join([image, *("1.0" if i == at else "0.0" for i in range(7))]) for image, at in marks.items()]
    (source / "GroundTruth.csv").write_text("\n".join(lines) + "\n")
    (source / "HAM10000_metadata.csv").unlink()


def test_a_one_hot_table_without_lesions_is_refused_unless_the_leak_is_allowed(ham, mini, read_all):
    source = mini(masks=False)
    rows = list(csv.DictReader((source / "HAM10000_metadata.csv").open()))
    one_hot(source, {row["image_id"]: 1 if row["dx"] == "nv" else 0 for row in rows} | {"ISIC_none": 9})
    with pytest.raises(UserError, match="which lesion 60 of its 60 images show.*LesionGroupings.csv.*by_image=true"):
        ham.describe(source)
    samples, dropped = read_all(ham, source, by_image=True)
    assert dropped == {"line 62 of GroundTruth.csv": "not exactly one class is marked with 1"}
    assert sum(s.answer == "melanoma" for rows in samples.values() for s in rows) == 20
    assert "scores are too high" in ham.describe(source, by_image=True)["notes"][-1]
    groupings = "image,lesion_id,diagnosis_confirm_type\n" + "".join(
        f"{r['image_id']},{r['lesion_id']},x\n" for r in rows
    )
    (source / "ISIC2018_Task3_Training_LesionGroupings.csv").write_text(groupings)
    samples, _ = read_all(ham, source)
    assert len({s.group for rows in samples.values() for s in rows}) == 50


def test_duplicate_and_contradictory_rows_are_dropped_with_their_lines(ham, mini, read_all):
    source = mini(masks=False)
    with (source / "HAM10000_metadata.csv").open("a") as file:
        file.write("HAM_0000000,ISIC_0000000,nv,histo,80,male,back,x\n")
        file.write("HAM_0000001,ISIC_0000001,mel,histo,80,male,back,x\n")
        file.write(",ISIC_0000099,mel,histo,80,male,back,x\n")
    samples, dropped = read_all(ham, source)
    assert dropped == {
        "line 62 of HAM10000_metadata.csv": "its image has a row already",
        "line 3 of HAM10000_metadata.csv": "the rows of its image contradict each other",
        "line 63 of HAM10000_metadata.csv": "the rows of its image contradict each other",
        "line 64 of HAM10000_metadata.csv": "it has no lesion_id or no image_id",
    }
    assert len({s.id for rows in samples.values() for s in rows}) == 59


def test_every_bad_mask_and_image_is_a_reported_skip(ham, mini, put, read_all, image_bytes, realdata):
    source = mini()
    pointer = (realdata / "ham10000/ISIC_0024306_segmentation_LFSPOINTER.png").read_bytes()
    masks = "HAM10000_segmentations_lesion_tschandl/ISIC_000000{}_segmentation.png"
    put(masks.format(0), pointer)
    put(masks.format(1), mask_bytes())
    put(masks.format(2), mask_bytes((0, 0, 3, 3), size=(4, 5)))
    put(masks.format(3), mask_bytes((2, 1, 5, 6))[:-30])
    (source / masks.format(4)).unlink()
    put("HAM10000_images_part_2/ISIC_0000005.jpg", image_bytes(height=64, width=64, format="JPEG")[:900])
    samples, dropped = read_all(ham, source, task="boxes")
    assert dropped == {
        "ISIC_0000000": "its mask is a git-lfs pointer, not the file itself",
        "ISIC_0000001": "its mask is empty",
        "ISIC_0000002": "its mask has another size than the image",
        "ISIC_0000003": "its mask cannot be decoded",
        "ISIC_0000004": "its mask is not in the folder",
        "ISIC_0000005": "its image cannot be decoded",
    }
    assert sum(map(len, samples.values())) == 54


def test_a_one_pixel_mask_is_a_box_of_one_pixel_and_largest_leaves_specks_out(ham, mini, put, read_all):
    source = mini()
    masks = "HAM10000_segmentations_lesion_tschandl/ISIC_000000{}_segmentation.png"
    put(masks.format(0), mask_bytes((9, 7, 10, 8)))
    put(masks.format(1), mask_bytes((0, 0, 3, 3), (8, 6, 9, 7)))
    for part, wanted in (("union", [0, 0, 9, 7]), ("largest", [0, 0, 3, 3])):
        samples, _ = read_all(ham, source, task="boxes", part=part)
        found = {s.id[-1]: json.loads(s.answer) for rows in samples.values() for s in rows if "_000000" in s.id}
        assert found["0"] == [9, 7, 10, 8] and found["1"] == wanted


def test_names_that_leave_the_folder_open_nothing_and_unicode_names_are_found(
    ham, mini, put, read_all, image_bytes, tmp_path
):
    source = mini(masks=False)
    (tmp_path / "secret.jpg").write_bytes(image_bytes())
    with (source / "HAM10000_metadata.csv").open("a") as file:
        for name in ("../secret", str(tmp_path / "secret"), "Läsion 1"):
            file.write(f"HAM_{name},{name},nv,histo,80,male,back,x\n")
    put("HAM10000_images_part_1/La\u0308sion 1.jpg", image_bytes(99))
    samples, dropped = read_all(ham, source)
    assert set(dropped) == {"../secret", str(tmp_path / "secret")}
    assert set(dropped.values()) == {"its image is not in the folder"}
    assert "ham10000/Läsion 1" in {s.id for rows in samples.values() for s in rows}


def test_what_cannot_be_used_is_told_before_the_first_row(ham, mini, put, tmp_path):
    source = mini(masks=False)
    for options, reason in [
        ({"task": "box"}, "Did you mean 'boxes'"),
        ({"part": "biggest"}, "largest, union"),
        ({"table": "gone.csv"}, "There is no table"),
        ({"test_share": 1.5}, "leave something for train"),
    ]:
        with pytest.raises(UserError, match=reason):
            ham.rows(source, "train", **options)
    with pytest.raises(UserError, match="'dev'"):
        ham.rows(source, "dev")
    with pytest.raises(UserError, match="There is no folder .*DBW86T"):
        ham.rows(tmp_path / "gone", "train")
    for path in source.glob("*/*.jpg"):
        path.unlink()
    with pytest.raises(UserError, match="None of the 60 images of HAM10000_metadata.csv is in"):
        ham.rows(source, "train")
    (source / "HAM10000_metadata.csv").rename(source / "x.md")
    with pytest.raises(UserError, match="No table fits .*lesion_id, image_id, dx; or image, "):
        ham.rows(source, "train")


def test_by_hand_with_knowledge_it_is_prepared_and_drops_are_printed(ham, mini, tmp_path, capsys):
    source = mini()
    next(source.glob("*/ISIC_0000007.jpg")).unlink()
    out = tmp_path / "out"
    assert ham.main(["--source", str(source), "--out", str(out), "--knowledge", "ham10000"]) == 0
    said = capsys.readouterr().out
    assert "Dropped 1 row: its image is not in the folder (ISIC_0000007)." in said
    card = json.loads((out / "card.json").read_text())
    assert card["dropped"] == {"its image is not in the folder": {"rows": 1, "examples": ["ISIC_0000007"]}}
    assert card["about"]["split"] == "by lesion, seed 0, test 20%, val 5%"
    assert (
        ham.main(
            [
                "--source",
                str(source),
                "--out",
                str(tmp_path / "boxes"),
                "--task",
                "boxes",
                "--knowledge",
                "ham10000_boxes",
            ]
        )
        == 0
    )


def test_its_examples_run(ham):
    assert doctest.testmod(ham).failed == 0
