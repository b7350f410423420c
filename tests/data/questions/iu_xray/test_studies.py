"""The studies of Kaggle's tables, and their views."""

import pytest

from medical_rl.data.rows import Drops
from medical_rl.data_preprocess import iu_xray as iu_reader
from medical_rl.data_preprocess.iu_xray import studies
from medical_rl.errors import UserError


def test_162_of_the_3851_real_studies_have_no_frontal_view_and_514_no_findings(real):
    folder = real(studies.REPORTS).parent
    found, views = studies.read_studies(folder, Drops()), studies.read_views(folder)
    assert len(found) == len(views) == 3851 and sum(map(len, views.values())) == 7466
    assert sum("frontal" not in dict(images).values() for images in views.values()) == 162
    assert (
        sum(not s.findings for s in found.values()) == 514 and sum(not s.text for s in found.values()) == 25
    )
    assert {len(images) for images in views.values()} == {1, 2, 3, 4, 5}
    assert sum("XXXX" in s.text for s in found.values()) > 1000


def test_a_study_is_normal_abnormal_or_dropped_with_the_reason(iu_xray, kaggle, everything, reasons):
    found = [s for split in everything(iu_xray, kaggle, ask="normal").values() for s in split]
    assert {s.id: s.answer for s in found} == {"iu_xray/1": "no", "iu_xray/2": "yes"}
    assert reasons() == {iu_reader.NOT_INDEXED: 1, iu_reader.ONLY_QUALITY: 1}
    # Study 1 lists its lateral view first; the frontal one is taken, image number 1.
    (one,) = (s for s in found if s.id == "iu_xray/1")
    frontal = kaggle / "images/images_normalized/1_IM-0001-4001.dcm.png"
    assert one.images == (frontal.read_bytes(),) and one.meta["views"] == ["frontal"]


def test_views_are_chosen_and_a_missing_one_is_a_drop(
    iu_xray, kaggle, write, ask, everything, drops, reasons
):
    write(kaggle / "q.jsonl", [ask(i, f"CXR{i}_IM-000{i}/0.png") for i in (1, 2, 3)])
    found = [s for split in everything(iu_xray, kaggle).values() for s in split]
    assert {s.group: s.meta["views"] for s in found} == {"CXR1": ["frontal"], "CXR2": ["frontal"]}
    assert reasons() == {"its study has no frontal view": 1}
    assert (
        "Studies of indiana_projections.csv without a frontal view: 1." in iu_xray.describe(kaggle)["notes"]
    )
    every = [s for split in everything(iu_xray, kaggle, view="all").values() for s in split]
    assert {s.group: s.meta["views"] for s in every} == {
        "CXR1": ["frontal", "lateral"],
        "CXR2": ["frontal"],
        "CXR3": ["lateral"],
    }
    lateral = [s for split in everything(iu_xray, kaggle, view="lateral").values() for s in split]
    assert {s.group for s in lateral} == {"CXR1", "CXR3"}
    with pytest.raises(UserError, match="no view 'front'. Did you mean 'frontal'"):
        iu_xray.rows(kaggle, "train", view="front")


def test_openis_own_file_names_are_found_by_kaggles_table(iu_xray, kaggle, write, ask, everything):
    flat = kaggle / "NLMCXR_png"
    flat.mkdir()
    for path in (kaggle / "images/images_normalized").iterdir():
        number = path.name.split("_")[0]
        # Open-i writes study 1 as CXR1_1_IM-..., the others as CXR2_IM-...
        path.rename(
            flat
            / path.name.replace(f"{number}_", "CXR1_1_" if number == "1" else f"CXR{number}_").replace(
                ".dcm", ""
            )
        )
    write(kaggle / "q.jsonl", [ask(i, f"CXR{i}_IM-000{i}/0.png") for i in (1, 2)])
    assert {s.group for split in everything(iu_xray, kaggle).values() for s in split} == {"CXR1", "CXR2"}


def test_tables_with_other_columns_are_refused_by_name(kaggle, table):
    table(kaggle / studies.REPORTS, [{"uid": 1, "text": "Phantom."}])
    with pytest.raises(
        UserError, match="indiana_reports.csv lacks the columns MeSH, findings, impression; it has uid, text"
    ):
        studies.read_studies(kaggle, Drops())


def test_a_study_that_comes_twice_is_told_and_the_first_is_kept(kaggle, drops, reasons):
    path = kaggle / studies.REPORTS
    path.write_text(path.read_text() + "1,Cardiomegaly,Another phantom.,\n")
    assert studies.read_studies(kaggle, drops)["1"].terms == ("normal",)
    assert reasons() == {"the number of its study came before": 1}
