import collections
import csv
import doctest
import json

import pytest

from medical_rl.data.prepare import readers
from medical_rl.errors import UserError

HEAD = "dataset,filename,Inaccurate labelling,Score R,Score D,Poor quality D,Poor quality R,ann_found,subset,label,Normal\n"


@pytest.fixture
def covid():
    return readers.load_reader("covid_severity")


@pytest.fixture
def real(realdata):
    return realdata / "covid_severity"


@pytest.fixture
def full(real, tmp_path, image_bytes):
    """The real table with a small picture in the place of each of its 1,364 images."""
    data = image_bytes()
    (tmp_path / "scores.csv").write_bytes((real / "danilov_metadata.csv").read_bytes())
    for row in csv.DictReader((tmp_path / "scores.csv").open()):
        folder = tmp_path / row["dataset"]
        folder.mkdir(exist_ok=True)
        (folder / row["filename"]).write_bytes(data)
    return tmp_path


@pytest.fixture
def mini(put, image_bytes):
    """A function that writes a table of `rows` (filename, R, D, and what differs) with a picture for each."""

    def make(*rows, images=True):
        lines = []
        for i, (name, r, d, *rest) in enumerate(rows):
            other = {
                "inaccurate": "No",
                "poor_d": "No",
                "poor_r": "No",
                "subset": ("train", "val", "test")[i % 3],
            }
            other |= rest[0] if rest else {}
            lines.append(
                f"set_a,{name},{other['inaccurate']},{r},{d},{other['poor_d']},{other['poor_r']},Yes,{other['subset']},COVID-19,No"
            )
            if images:
                put(f"set_a/{name}", image_bytes(i))
        return put("table.csv", HEAD + "\n".join(lines) + "\n").parent

    return make


def grades(samples):
    return {s.id.split("/")[1]: s.answer for rows in samples.values() for s in rows}


PAPERS = {
    "Actualmed-COVID-chestxray-dataset", "COVID-19-Radiography-Database", "covid-chestxray-dataset",
    "Figure1-COVID-chestxray-dataset",
}  # fmt: skip


def test_the_papers_four_sets_are_the_default_and_the_card_says_so(covid, full, read_all):
    samples, dropped = read_all(covid, full)
    rows = [sample for each in samples.values() for sample in each]
    # VRFT-Aug, A.1, names four sets; the table's 784 normal images are of two others
    assert {s.meta["dataset"] for s in rows} == PAPERS and {s.meta["label"] for s in rows} == {"COVID-19"}
    assert {split: len(each) for split, each in samples.items()} == {"train": 389, "val": 47, "test": 54}
    assert len(dropped) == 90 and "0" not in grades(samples).values()
    about = covid.describe(full)
    (told,) = [note for note in about["notes"] if "four sets" in note]
    assert "784 normal" in told and "normals=true" in told and about["altered"] == []
    (told,) = [note for note in covid.describe(full, normals=True)["notes"] if "four sets" in note]
    assert "784 normal" in told and "is not the paper's" in told


def test_the_real_table_keeps_1274_of_1364_rows_by_the_reference_rule(covid, full, read_all):
    samples, dropped = read_all(covid, full, normals=True)
    # 1,089, 136 and 139 published, less 55 inaccurate and 35 more of poor quality (45 marks, 10 of them inaccurate too)
    assert {split: len(rows) for split, rows in samples.items()} == {"train": 1015, "val": 125, "test": 134}
    assert collections.Counter(dropped.values()) == {
        "its labelling is marked as inaccurate": 55,
        "its quality is marked as poor": 35,
    }
    found = collections.Counter(grades(samples).values())
    # counted from the table by (R + D + 1) // 2, a missing score replaced by the other
    assert found == {"0": 784, "5": 118, "6": 126, "1": 78, "4": 78, "3": 46, "2": 44}
    assert all(s.kind == "grade" and s.choices == tuple("0123456") for s in samples["test"])


def test_the_real_raters_disagree_as_the_card_says(covid, full):
    about = covid.describe(full)
    assert (
        about["notes"][-1]
        == "The raters differ by 2 or more on 56 of the 313 COVID-19 rows that both scored."
    )
    assert about["altered"] == [] and about["consensus"] == "ceil_mean"


def test_the_real_images_that_are_there_are_read_and_the_absent_reported(covid, real, read_all):
    samples, dropped = read_all(covid, real)
    # COVID-00012 is marked as inaccurate; how many more images are here is no matter of this test
    read = grades(samples)
    assert read.items() >= {"COVID-00021.jpg": "6", "COVID-00024.jpg": "5"}.items()
    assert read.keys() < {path.name for path in (real / "images").iterdir()} and "COVID-00012.jpg" not in read
    reasons = collections.Counter(dropped.values())
    # 490 of the 580 rows of the paper's four sets can be used
    assert reasons["its image is not in the folder"] == 490 - len(read)
    assert sum(reasons.values()) == 580 - len(read)
    (known,) = [sample for sample in samples["val"] if sample.id.endswith("COVID-00021.jpg")]
    assert known.size == (739, 767) and known.meta["score_d"] == 6


@pytest.mark.parametrize(
    ("consensus", "wanted"),
    [("ceil_mean", "445"), ("floor_mean", "345"), ("max", "645"), ("min", "145"), ("R", "145"), ("D", "645")],
)
def test_every_consensus_and_the_gap_filled_by_the_other_rater(covid, mini, read_all, consensus, wanted):
    source = mini(("a.png", 1, 6), ("b.png", 4, ""), ("c.png", "", "5.0"))
    samples, dropped = read_all(covid, source, consensus=consensus)
    assert "".join(grades(samples)[f"{name}.png"] for name in "abc") == wanted and not dropped
    (c,) = samples["test"]
    assert (c.meta["score_r"], c.meta["score_d"]) == (None, 5)


def test_rows_that_the_table_rules_out_are_dropped_with_their_reason(covid, mini, read_all):
    source = mini(
        ("kept.png", 1, 2),
        ("inaccurate.png", 1, 2, {"inaccurate": "yes", "poor_d": "Yes"}),
        ("poor_d.png", 1, 2, {"poor_d": "Yes"}),
        ("poor_r.png", 1, 2, {"poor_r": "Yes"}),
        ("unscored.png", "", ""),
        ("seven.png", 7, 2),
        ("nan.png", "nan", 2),
        ("half.png", "2.5", ""),
        ("twice.png", 1, 2),
        ("twice.png", 1, 2),
    )
    samples, dropped = read_all(covid, source)
    assert grades(samples) == {"kept.png": "2"}
    assert {row: reason for row, reason in dropped.items() if "twice" not in row} == {
        "line 3, inaccurate.png": "its labelling is marked as inaccurate",
        "line 4, poor_d.png": "its quality is marked as poor",
        "line 5, poor_r.png": "its quality is marked as poor",
        "line 6, unscored.png": "neither rater gave a score",
        "line 7, seven.png": "a score is no whole number from 0 to 6",
        "line 8, nan.png": "a score is no whole number from 0 to 6",
        "line 9, half.png": "a score is no whole number from 0 to 6",
    }
    assert dropped["line 10, twice.png"] == dropped["line 11, twice.png"] == "its filename is in several rows"


def test_png_bmp_names_find_their_file_under_either_name(covid, mini, put, read_all, image_bytes):
    source = mini(("a.png.bmp", 1, 1), ("b.png.bmp", 2, 2), ("DX.1.2.840", 3, 3), images=False)
    put("set_a/a.png.bmp", image_bytes(format="BMP"))
    put("set_a/b.png", image_bytes())
    put("x/DX.1.2.840.png", image_bytes())
    samples, dropped = read_all(covid, source)
    assert grades(samples) == {"a.png.bmp": "1", "b.png.bmp": "2", "DX.1.2.840": "3"} and not dropped


def test_of_files_with_one_name_that_of_the_sets_folder_is_taken_and_else_none(
    covid, mini, put, read_all, image_bytes
):
    source = mini(("a.png", 1, 1), ("b.png", 2, 2), images=False)
    put("set_b/a.png", image_bytes(1))
    right = put("set_a/a.png", image_bytes(2))
    put("set_b/b.png", image_bytes(3))
    put("set_c/b.png", image_bytes(4))
    samples, dropped = read_all(covid, source)
    assert samples["train"][0].images == (right.read_bytes(),)
    assert dropped == {"line 3, b.png": "several files could be its image"}


def test_bad_images_are_reported_and_names_that_leave_the_folder_open_nothing(
    covid, mini, put, read_all, image_bytes, tmp_path
):
    (tmp_path / "secret.png").write_bytes(image_bytes())
    source = mini(("ü.png", 1, 1), ("../secret.png", 1, 1), (tmp_path / "secret.png", 1, 1), ("cut.png", 1, 1), ("lfs.png", 1, 1), images=False)  # fmt: skip
    put("set_a/u\u0308.png", image_bytes())
    put("set_a/cut.png", image_bytes()[:50])
    put("set_a/lfs.png", b"version https://git-lfs.github.com/spec/v1\n")
    samples, dropped = read_all(covid, source)
    assert grades(samples) == {"ü.png": "1"}
    assert list(dropped.values()) == [
        "its image cannot be decoded",
        "its image is not in the folder",
        "its image is a git-lfs pointer, not the file itself",
        "its image is not in the folder",
    ]


def test_what_cannot_be_used_is_told_before_the_first_row(covid, mini, put, tmp_path):
    source = mini(("a.png", 1, 1))
    with pytest.raises(UserError, match="Did you mean 'ceil_mean'"):
        covid.rows(source, "train", consensus="ceil")
    with pytest.raises(UserError, match="'dev'"):
        covid.rows(source, "dev")
    with pytest.raises(UserError, match="There is no folder .*36fjrg9s69"):
        covid.rows(tmp_path / "gone", "train")
    (source / "set_a/a.png").unlink()
    with pytest.raises(UserError, match="None of the 1 images of table.csv is in"):
        covid.rows(source, "train")
    mini(("a.png", 1, 1, {"subset": "tset"}))
    with pytest.raises(UserError, match=r"subset \(line 2 of .*'tset'. Did you mean 'test'"):
        covid.describe(source)
    put("table.csv", HEAD.replace("Score R", "Score_R"))
    with pytest.raises(UserError, match="No table fits .*table.csv.*Score R"):
        covid.describe(source)


def test_by_hand_it_is_prepared_with_drops_and_knowledge(covid, full, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        covid.main(["--source", str(full), "--out", str(out), "--knowledge", "covid_severity", "--normals"])
        == 0
    )
    assert "Dropped 55 rows: its labelling is marked as inaccurate (line 9, " in capsys.readouterr().out
    card = json.loads((out / "card.json").read_text())
    assert {reason: entry["rows"] for reason, entry in card["dropped"].items()} == {
        "its labelling is marked as inaccurate": 55,
        "its quality is marked as poor": 35,
    }
    # 80 of 134 test rows are grade 0
    assert card["splits"]["test"]["majority_rate"] == pytest.approx(80 / 134)


def test_its_examples_run(covid):
    assert doctest.testmod(covid).failed == 0
