"""The real tables, images and masks of HAM10000: counts of the publication, and mirrors that differ."""

import collections
import json

from PIL import Image

from medical_rl.data.prepare import prepare
from medical_rl.data.rows import Drops
from medical_rl.data_preprocess import ham10000

DIRTY = "HAM10000_metadata_DIRTY_renamed_dx.csv"


ONE_HOT = "GroundTruth_onehot.csv"


def test_the_real_table_gives_the_papers_2003_test_images_with_every_lesion_whole(ham, real):
    found = ham10000.load(real, None, Drops())
    assert found.path.name == "HAM10000_metadata.csv" and len(found.lesions) == 10_015 and found.altered == ()
    where = ham.split_by_group(((x.lesion, x.dx) for x in found.lesions), {"test": 0.2, "val": 0.05}, 0)
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
    clean = {x.image: x.dx for x in ham10000.load(real, None, Drops()).lesions}
    dirty = ham10000.load(real, DIRTY, Drops())
    assert {x.image: x.dx for x in dirty.lesions} == clean
    assert len(dirty.altered) == 7
    assert "dx 'Melanomaanocytic Nevi (moles)' is read as nv in 6,705 rows" in dirty.altered


def test_the_real_one_hot_table_agrees_and_takes_its_lesions_from_the_metadata(ham, real):
    clean = {x[:3] for x in ham10000.load(real, None, Drops()).lesions}
    assert {x[:3] for x in ham10000.load(real, ONE_HOT, Drops()).lesions} == clean


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
    assert all(
        s.size == (450, 600) and s.kind == "box" and s.meta["finding"] == "lesion" for s in found.values()
    )


def test_a_row_of_the_real_set_for_classification(ham, real, read_all):
    samples, _ = read_all(ham, real)
    (s,) = [s for rows in samples.values() for s in rows if s.id == "ham10000/ISIC_0027001"]
    assert (s.kind, s.answer, s.group, s.source) == ("label", "melanocytic nevi", "HAM_0003134", "ham10000")
    assert s.choices == tuple(ham10000.CLASSES.values()) and len(s.choices) == 7
    assert s.images == ((real / "images/ISIC_0027001.jpg").read_bytes(),)
    assert s.meta["age"] == 40


def test_what_was_repaired_in_the_real_dirty_table_stands_in_the_card(real, bare, tmp_path):
    # The three images that are there are all drawn for train.
    params = {"table": DIRTY, "val_share": 0.0}
    data = {"name": "ham", "reader": "ham10000", "source": str(real), "params": params, "only": ["train"]}
    card = prepare.prepare(data, bare, tmp_path / "out", 0, 1)
    told = "dx 'Melanomaanocytic Nevi (moles)' is read as nv in 6,705 rows"
    assert told in card["about"]["altered"] and told in (tmp_path / "out/README.md").read_text()
    assert "melanocytic nevi" in card["splits"]["train"]["labels"]
