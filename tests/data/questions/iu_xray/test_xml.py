"""Open-i's own XML, and the reports of every layout."""

from medical_rl.data.rows import Drops
from medical_rl.data_preprocess.iu_xray import studies


def test_xml_gives_terms_sections_and_images_but_no_views(iu_xray, xml_copy, everything, reasons):
    study = studies.read_studies(xml_copy, Drops())["1"]
    assert (study.terms, study.findings, study.text) == (
        ("normal",),
        "Ünïcode & XXXX.",
        "Ünïcode & XXXX. Phantom 1.",
    )
    assert study.images == (("CXR1_IM-0001-1001.png", ""), ("CXR1_IM-0001-2001.png", ""))
    assert everything(iu_xray, xml_copy, ask="normal") == {"train": [], "val": [], "test": []}
    assert list(reasons()) == [
        "which of its study's images is frontal is not known (indiana_projections.csv says it)"
    ]
    found = [s for split in everything(iu_xray, xml_copy, ask="normal", view="all").values() for s in split]
    assert {s.id: (s.answer, len(s.images)) for s in found} == {
        "iu_xray/1": ("no", 2),
        "iu_xray/2": ("yes", 2),
    }


def test_bad_xml_is_a_drop_and_its_entities_are_never_expanded(xml_copy, xml, put, drops, reasons):
    folder = xml_copy / "ecgen-radiology"
    put(
        folder / "3.xml",
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    )
    put(folder / "4.xml", xml(uid=4, term="normal", findings="").encode()[:200])
    put(folder / "5.xml", b"<eCitation/>")
    put(folder / "6.xml", xml(uid=1, term="normal", findings="").encode())
    put(folder / "7.xml", b"\xff\xfe\xfd")
    assert set(studies.read_studies(xml_copy, drops)) == {"1", "2"}
    assert reasons() == {
        "its XML cannot be read": 2,
        "its XML declares entities, which no report does": 1,
        "its XML names no study (uId)": 1,
        "the number of its study came before": 1,
    }


def test_reports_come_from_xml_tables_annotation_and_corpus(iu_xray, xml_copy, real, put, tmp_path_factory):
    assert [(r["id"], r["study"]) for r in iu_xray.reports(xml_copy)] == [("1", "CXR1"), ("2", "CXR2")]
    alone = tmp_path_factory.mktemp("kaggle")
    put(alone / studies.REPORTS, real(studies.REPORTS).read_bytes())
    reports = list(iu_xray.reports(alone))
    # 25 of 3,851 have neither findings nor impression.
    assert len(reports) == 3826 and all(set(r) == {"id", "text", "study", "split"} for r in reports)
    annotated = list(iu_xray.reports(real("r2gen_annotation_BROKEN_TEST_KEY.json")))
    assert (
        len(annotated) == 2955
        and annotated[0]["study"].startswith("CXR")
        and annotated[-1]["split"] == "test"
    )
    # Beside RULE's retriever files the tables, which hold tested studies too, are not read: 1,034 + 1,035.
    assert len(list(iu_xray.reports(real(studies.REPORTS).parent))) == 2069
    put(alone / "annotation.json", real("r2gen_annotation_BROKEN_TEST_KEY.json").read_bytes())
    assert len(list(iu_xray.reports(alone))) == 2955
    # Of a folder that holds no reports there are none; where they may lie is the images' folder too.
    empty = tmp_path_factory.mktemp("empty")
    assert list(iu_xray.reports(empty)) == [] and len(list(iu_xray.reports(empty, images=str(alone)))) == 2955
