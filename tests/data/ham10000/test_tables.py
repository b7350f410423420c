"""HAM10000's tables: their names and columns, values that are none, rows that contradict each other."""

import collections
import csv

import pytest

from medical_rl.errors import UserError


@pytest.mark.parametrize(
    "table", ["HAM10000_metadata", "HAM10000_metadata.tab", "HAM10000_metadata.csv", "meta (1).csv"]
)
@pytest.mark.parametrize("columns", [8, 7])
def test_the_table_comes_under_several_names_with_7_or_8_columns(ham, mini, read_all, table, columns):
    samples, dropped = read_all(ham, mini(table, columns, masks=False))
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
    lines += [
        ",".join([image, *("1.0" if i == at else "0.0" for i in range(7))]) for image, at in marks.items()
    ]
    (source / "GroundTruth.csv").write_text("\n".join(lines) + "\n")
    (source / "HAM10000_metadata.csv").unlink()


def test_a_one_hot_table_without_lesions_is_refused_unless_the_leak_is_allowed(ham, mini, read_all):
    source = mini(masks=False)
    rows = list(csv.DictReader((source / "HAM10000_metadata.csv").open()))
    one_hot(source, {row["image_id"]: 1 if row["dx"] == "nv" else 0 for row in rows} | {"ISIC_none": 9})
    with pytest.raises(
        UserError, match="which lesion 60 of its 60 images show.*LesionGroupings.csv.*by_image=true"
    ):
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
