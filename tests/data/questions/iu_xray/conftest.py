"""Miniatures of IU-Xray in its three layouts: R2Gen's, Kaggle's and Open-i's own."""

import pytest

from medical_rl.data_preprocess.iu_xray import studies

XML = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><uId id="CXR{uid}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="INDICATION">Phantom XXXX.</AbstractText>
<AbstractText Label="FINDINGS">{findings}</AbstractText>
<AbstractText Label="IMPRESSION">Phantom {uid}.</AbstractText></Abstract></Article></MedlineCitation>
<MeSH><major>{term}</major><automatic>lung</automatic></MeSH>
<parentImage id="CXR{uid}_IM-000{uid}-1001"/><parentImage id="CXR{uid}_IM-000{uid}-2001"/></eCitation>"""


@pytest.fixture
def r2gen_copy(tmp_path, write, put, ask, phantom):
    """A miniature of R2Gen's layout: 20 studies of two images, two questions each."""
    names = [f"CXR{i}_IM-{i:04}/0.png" for i in range(1, 21)]
    for i, name in enumerate(names):
        put(tmp_path / "images" / name, phantom(i))
    rows = [
        ask(2 * i + j, f"images/{name}" if i == 19 else name, "Yes." if j else "- No")
        for i, name in enumerate(names)
        for j in (0, 1)
    ]
    write(tmp_path / "iuxray_test.jsonl", rows)
    return tmp_path


@pytest.fixture
def kaggle(tmp_path, table, put, phantom):
    """A miniature of Kaggle's: four studies, the third without a frontal view, with reports that miss sections."""
    views = [
        (1, "3001", "Lateral"),
        (1, "4001", "Frontal"),
        (2, "1001", "Frontal"),
        (3, "2001", "Lateral"),
        (4, "1001", "Frontal"),
    ]
    listed = [
        {"uid": uid, "filename": f"{uid}_IM-000{uid}-{series}.dcm.png", "projection": view}
        for uid, series, view in views
    ]
    table(tmp_path / studies.PROJECTIONS, listed)
    terms = [
        "normal",
        "Cardiomegaly/mild;Opacity/lung",
        "No Indexing",
        "Technical Quality of Image Unsatisfactory ",
    ]
    reports = [
        {"uid": i, "MeSH": mesh, "findings": "" if i == 2 else "Phantom XXXX.", "impression": "Clear."}
        for i, mesh in enumerate(terms, 1)
    ]
    table(tmp_path / studies.REPORTS, reports)
    for number, row in enumerate(listed):
        put(tmp_path / "images/images_normalized" / row["filename"], phantom(number))
    return tmp_path


@pytest.fixture
def xml():
    """A function that makes one study as Open-i's XML has it."""
    return XML.format


@pytest.fixture
def xml_copy(tmp_path, put, phantom, xml):
    """A miniature of Open-i's own: two studies in XML, two images each, no views."""
    for uid, term in ((1, "normal"), (2, "Pneumothorax")):
        put(
            tmp_path / f"ecgen-radiology/{uid}.xml",
            xml(uid=uid, term=term, findings="Ünïcode &amp; XXXX.").encode(),
        )
        for series in (1001, 2001):
            put(tmp_path / f"NLMCXR_png/CXR{uid}_IM-000{uid}-{series}.png", phantom(uid + series))
    return tmp_path
