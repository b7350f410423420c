import collections
import json

import pytest

from medical_rl.data import command, openi, prepare, question_rows, r2gen, rule, study_rows
from medical_rl.data.drops import Drops
from medical_rl.data.images import decode
from medical_rl.data.parquet import read_samples
from medical_rl.errors import UserError

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
    table(tmp_path / openi.PROJECTIONS, listed)
    terms = ["normal", "Cardiomegaly/mild;Opacity/lung", "No Indexing", "Technical Quality of Image Unsatisfactory "]
    reports = [
        {"uid": i, "MeSH": mesh, "findings": "" if i == 2 else "Phantom XXXX.", "impression": "Clear."}
        for i, mesh in enumerate(terms, 1)
    ]
    table(tmp_path / openi.REPORTS, reports)
    for number, row in enumerate(listed):
        put(tmp_path / "images/images_normalized" / row["filename"], phantom(number))
    return tmp_path


def test_the_real_questions_give_2488_rows_split_by_study_with_every_drop_told(
    iu_xray, real, everything, drops, reasons, tmp_path, put, phantom
):
    questions = real("rule_iuxray_test.jsonl")
    for i, name in enumerate(sorted({q.image for q in rule.questions(questions)})):
        put(tmp_path / name, phantom(i))
    found = everything(iu_xray, tmp_path, questions=str(questions))
    sizes = {split: len(samples) for split, samples in found.items()}
    assert sum(sizes.values()) == 2488
    assert reasons() == {rule.NEITHER: 72, rule.NOT_AN_ANSWER: 10, rule.FRAGMENT: 3}
    # 80/10/10 of 2,573 rows are 257 and 257 of val and test before the 85 drops, whole studies together.
    assert 240 <= sizes["val"] <= 257 and 240 <= sizes["test"] <= 257
    groups = {split: {s.group for s in samples} for split, samples in found.items()}
    assert (
        not groups["train"] & groups["test"]
        and not groups["train"] & groups["val"]
        and not groups["val"] & groups["test"]
    )
    assert {s.kind for samples in found.values() for s in samples} == {"yes_no"}
    told = collections.Counter(
        bool(set(s.concepts) - {"chest radiograph", "radiograph"}) for split in found.values() for s in split
    )
    # The lexicon finds something beside the kind of image in 97 % of the questions; "Is it normal?" has nothing.
    assert told[True] / 2488 > 0.97
    # 72 of the 85 cannot be kept; the 13 in doubt can.
    kept = everything(iu_xray, tmp_path, questions=str(questions), doubtful="keep")
    assert sum(map(len, kept.values())) == 2573 - 72


def test_a_row_has_its_study_its_image_as_it_came_and_its_concepts(iu_xray, r2gen_copy, everything):
    samples = [s for split in everything(iu_xray, r2gen_copy).values() for s in split]
    assert len(samples) == 40 and len({s.id for s in samples}) == 40
    s = next(s for s in samples if s.id == "iu_xray/iuxray_test/0")
    assert (s.group, s.question, s.answer, s.choices) == (
        "CXR1",
        "Is the phantom's heart enlarged?",
        "no",
        ("yes", "no"),
    )
    assert s.images == ((r2gen_copy / "images/CXR1_IM-0001/0.png").read_bytes(),) and s.size == (6, 5)
    assert s.concepts == ("heart",) and s.meta["report"] == "Phantom report." and not s.restricted
    assert all(s.concepts == () for s in iu_xray.rows(r2gen_copy, "train", concepts="none"))


def test_the_split_follows_its_seed_and_not_the_order_of_rows(iu_xray, r2gen_copy, everything):
    def splits(**options):
        return {s.id: s.split for found in everything(iu_xray, r2gen_copy, **options).values() for s in found}

    before = splits()
    path = r2gen_copy / "iuxray_test.jsonl"
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    assert splits() == before != splits(split_seed=1)


def test_the_broken_real_annotation_is_repaired_with_a_message(real):
    entries, repairs = r2gen.read(real("r2gen_annotation_BROKEN_TEST_KEY.json"))
    assert collections.Counter(e["split"] for e in entries) == {"train": 2069, "val": 296, "test": 590}
    assert len(repairs) == 1 and "'    '" in repairs[0] and "read as 'test', which its 590 entries state" in repairs[0]


def test_an_annotation_that_contradicts_itself_is_refused(tmp_path):
    def entry(split):
        return {"id": "CXR1_IM-1", "report": "Phantom.", "image_path": [], "split": split}

    for content, reason in (
        ({"train": [entry("test")]}, "The entries under 'train' .* state the splits test"),
        ({"": [entry("val"), entry("test")]}, "The entries under '' .* state the splits test, val"),
        ({"": []}, "state the splits none"),
        ({"train": [{"id": "x"}]}, "Entry 0 under 'train' .* lacks one of id, report"),
        ([], "should hold an object"),
    ):
        path = tmp_path / "annotation.json"
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match=reason):
            r2gen.read(path)


def test_rules_real_questions_are_all_of_r2gens_test_split(iu_xray, real, tmp_path, put, phantom, everything):
    questions = real("rule_iuxray_test.jsonl")
    put(tmp_path / "annotation.json", real("r2gen_annotation_BROKEN_TEST_KEY.json").read_bytes())
    options = {"questions": str(questions), "splits": "published", "require_images": False}
    found = everything(iu_xray, tmp_path, **options)
    assert {split: len(samples) for split, samples in found.items()} == {"train": 0, "val": 0, "test": 2488}
    assert all(s.images == () for s in found["test"])
    about = iu_xray.describe(tmp_path, **options)
    assert "four" not in about["altered"][0] and "read as 'test'" in about["altered"][0]


def test_the_published_split_needs_its_annotation_and_names_the_rows_it_leaves_out(
    iu_xray, r2gen_copy, everything, reasons
):
    with pytest.raises(UserError, match="splits=published needs R2Gen's annotation.json"):
        iu_xray.rows(r2gen_copy, "train", splits="published")
    part = [{"id": f"CXR{i}_IM-{i:04}", "report": "", "image_path": [], "split": "train"} for i in range(1, 20)]
    (r2gen_copy / "annotation.json").write_text(json.dumps({"train": part}))
    found = everything(iu_xray, r2gen_copy, splits="published")
    # Study 20 is in no split: its two rows are told once, though three passes meet them.
    assert len(found["train"]) == 38 and reasons() == {question_rows.NO_SPLIT: 2}


def test_162_of_the_3851_real_studies_have_no_frontal_view_and_514_no_findings(real):
    folder = real(openi.REPORTS).parent
    found, views = openi.studies(folder, Drops()), openi.views(folder)
    assert len(found) == len(views) == 3851 and sum(map(len, views.values())) == 7466
    assert openi.without_frontal(views) == 162
    assert sum(not s.findings for s in found.values()) == 514 and sum(not s.text for s in found.values()) == 25
    assert {len(images) for images in views.values()} == {1, 2, 3, 4, 5}
    assert sum("XXXX" in s.text for s in found.values()) > 1000


def test_a_study_is_normal_abnormal_or_dropped_with_the_reason(iu_xray, kaggle, everything, reasons):
    found = [s for split in everything(iu_xray, kaggle, ask="normal").values() for s in split]
    assert {s.id: s.answer for s in found} == {"iu_xray/1": "no", "iu_xray/2": "yes"}
    assert reasons() == {study_rows.NOT_INDEXED: 1, study_rows.ONLY_QUALITY: 1}
    # Study 1 lists its lateral view first; the frontal one is taken, image number 1.
    (one,) = (s for s in found if s.id == "iu_xray/1")
    frontal = kaggle / "images/images_normalized/1_IM-0001-4001.dcm.png"
    assert one.images == (frontal.read_bytes(),) and one.meta["views"] == ["frontal"]


def test_views_are_chosen_and_a_missing_one_is_a_drop(iu_xray, kaggle, write, ask, everything, drops, reasons):
    write(kaggle / "q.jsonl", [ask(i, f"CXR{i}_IM-000{i}/0.png") for i in (1, 2, 3)])
    found = [s for split in everything(iu_xray, kaggle).values() for s in split]
    assert {s.group: s.meta["views"] for s in found} == {"CXR1": ["frontal"], "CXR2": ["frontal"]}
    assert reasons() == {"its study has no frontal view": 1}
    assert "Studies of indiana_projections.csv without a frontal view: 1." in iu_xray.describe(kaggle)["notes"]
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
            flat / path.name.replace(f"{number}_", "CXR1_1_" if number == "1" else f"CXR{number}_").replace(".dcm", "")
        )
    write(kaggle / "q.jsonl", [ask(i, f"CXR{i}_IM-000{i}/0.png") for i in (1, 2)])
    assert {s.group for split in everything(iu_xray, kaggle).values() for s in split} == {"CXR1", "CXR2"}


@pytest.fixture
def xml_copy(tmp_path, put, phantom):
    """A miniature of Open-i's own: two studies in XML, two images each, no views."""
    for uid, term in ((1, "normal"), (2, "Pneumothorax")):
        put(
            tmp_path / f"ecgen-radiology/{uid}.xml",
            XML.format(uid=uid, term=term, findings="Ünïcode &amp; XXXX.").encode(),
        )
        for series in (1001, 2001):
            put(tmp_path / f"NLMCXR_png/CXR{uid}_IM-000{uid}-{series}.png", phantom(uid + series))
    return tmp_path


def test_xml_gives_terms_sections_and_images_but_no_views(iu_xray, xml_copy, everything, reasons):
    study = openi.studies(xml_copy, Drops())["1"]
    assert (study.terms, study.findings, study.text) == (("normal",), "Ünïcode & XXXX.", "Ünïcode & XXXX. Phantom 1.")
    assert study.images == (("CXR1_IM-0001-1001.png", ""), ("CXR1_IM-0001-2001.png", ""))
    assert everything(iu_xray, xml_copy, ask="normal") == {"train": [], "val": [], "test": []}
    assert list(reasons()) == ["which of its study's images is frontal is not known (indiana_projections.csv says it)"]
    found = [s for split in everything(iu_xray, xml_copy, ask="normal", view="all").values() for s in split]
    assert {s.id: (s.answer, len(s.images)) for s in found} == {"iu_xray/1": ("no", 2), "iu_xray/2": ("yes", 2)}


def test_bad_xml_is_a_drop_and_its_entities_are_never_expanded(xml_copy, put, drops, reasons):
    folder = xml_copy / "ecgen-radiology"
    put(folder / "3.xml", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>')
    put(folder / "4.xml", XML.format(uid=4, term="normal", findings="").encode()[:200])
    put(folder / "5.xml", b"<eCitation/>")
    put(folder / "6.xml", XML.format(uid=1, term="normal", findings="").encode())
    put(folder / "7.xml", b"\xff\xfe\xfd")
    assert set(openi.studies(xml_copy, drops)) == {"1", "2"}
    assert reasons() == {
        "its XML cannot be read": 2,
        "its XML declares entities, which no report does": 1,
        "its XML names no study (uId)": 1,
        "the number of its study came before": 1,
    }


def test_reports_come_from_xml_tables_annotation_and_corpus(iu_xray, xml_copy, real):
    assert [(r["id"], r["study"]) for r in iu_xray.reports(xml_copy)] == [("1", "CXR1"), ("2", "CXR2")]
    reports = list(iu_xray.reports(real(openi.REPORTS).parent))
    # 25 of 3,851 have neither findings nor impression.
    assert len(reports) == 3826 and all(set(r) == {"id", "text", "study", "split"} for r in reports)
    annotated = list(iu_xray.reports(real("r2gen_annotation_BROKEN_TEST_KEY.json")))
    assert len(annotated) == 2955 and annotated[0]["study"].startswith("CXR") and annotated[-1]["split"] == "test"


def test_bad_images_are_dropped_with_row_and_reason(
    iu_xray, r2gen_copy, put, phantom, bomb, drops, everything, reasons, tmp_path_factory, write, ask
):
    images = r2gen_copy / "images"
    outside = put(tmp_path_factory.mktemp("elsewhere") / "CXR9_IM-9/0.png", phantom(99))
    put(images / "CXR1_IM-0001/0.png", phantom()[:60])
    put(images / "CXR2_IM-0002/0.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    put(images / "CXR3_IM-0003/0.png", bomb)
    (images / "CXR4_IM-0004/0.png").unlink()
    rows = [json.loads(line) for line in (r2gen_copy / "iuxray_test.jsonl").read_text().splitlines()]
    rows += [
        ask(100, f"../{outside.parent.parent.name}/CXR9_IM-9/0.png"),
        ask(101, str(outside)),
        ask(102, "..\\CXR9_IM-9\\0.png"),
        ask(103, "holiday.png"),
        ask(104, "CXR21_Ünïcode ü/0.png"),
    ]
    put(images / "CXR21_Ünïcode ü/0.png", phantom(21))
    write(r2gen_copy / "iuxray_test.jsonl", rows)
    found = {s.id for split in everything(iu_xray, r2gen_copy).values() for s in split}
    # 45 rows: 4 images of two rows each, three that leave the folder, one that names no study.
    assert len(found) == 45 - 8 - 4 and "iu_xray/iuxray_test/104" in found
    assert reasons() == {
        "its image cannot be decoded": 4,
        "its image is a git-lfs pointer, not the file itself": 2,
        question_rows.ABSENT: 2,
        question_rows.LEAVES: 3,
        "the path of its image names no study (CXR<number>_...)": 1,
    }
    examples = " ".join(drops.summary()["its image cannot be decoded"]["examples"])
    assert "iuxray_test/0" in examples and "2500000000 pixels" in examples


def test_no_image_at_all_is_an_error_that_says_what_to_do(iu_xray, r2gen_copy, tmp_path_factory, capsys):
    empty, out = tmp_path_factory.mktemp("empty"), tmp_path_factory.mktemp("out") / "prepared"
    with pytest.raises(UserError, match="None of the 20 images that iuxray_test.jsonl asks about is there.*--images"):
        iu_xray.rows(r2gen_copy, "train", images=str(empty))
    assert iu_xray.main(["--source", str(r2gen_copy), "--out", str(out), "--images", str(empty)]) == 2
    # Nothing half-written.
    assert "None of the 20 images" in capsys.readouterr().err and list(out.iterdir()) == []
    code = iu_xray.main(["--source", str(r2gen_copy), "--out", str(out), "--images", str(empty), "--without-images"])
    assert code == 0 and all(s.images == () for s in read_samples(out / "train.parquet"))


def test_it_is_prepared_with_a_card_and_a_second_run_does_nothing(iu_xray, r2gen_copy, tmp_path_factory, bare):
    out = tmp_path_factory.mktemp("out")
    data = {"name": "iu_xray", "reader": "iu_xray", "source": str(r2gen_copy), "params": {}}
    card = prepare.prepare(data, bare, out, 0, 1)
    assert {split: facts["rows"] for split, facts in card["splits"].items()} == {"train": 32, "val": 4, "test": 4}
    (first, *_) = read_samples(out / "train.parquet")
    assert decode(first.images[0]).size == (5, 6) and first.group.startswith("CXR")
    readme = (out / "README.md").read_text()
    assert "CC BY-NC-ND 4.0" in readme and "80/10/10 of the rows, whole study by study, drawn by split_seed=0" in readme
    before = (out / "card.json").stat().st_mtime_ns
    assert prepare.prepare(data, bare, out, 0, 1) == card and (out / "card.json").stat().st_mtime_ns == before


def test_what_was_dropped_reaches_the_card_with_row_and_reason(r2gen_copy, put, tmp_path_factory, bare):
    put(r2gen_copy / "images/CXR1_IM-0001/0.png", b"version https://git-lfs.github.com/spec/v1\n")
    out = tmp_path_factory.mktemp("out")
    card = prepare.prepare({"name": "iu", "reader": "iu_xray", "source": str(r2gen_copy)}, bare, out, 0, 1)
    reason = "its image is a git-lfs pointer, not the file itself"
    examples = ["iuxray_test/0: 0.png", "iuxray_test/1: 0.png"]
    assert card["dropped"] == {reason: {"rows": 2, "examples": examples}}
    assert f"Dropped 2 rows: {reason}" in (out / "README.md").read_text()


def test_tables_with_other_columns_are_refused_by_name(kaggle, table):
    table(kaggle / openi.REPORTS, [{"uid": 1, "text": "Phantom."}])
    with pytest.raises(
        UserError, match="indiana_reports.csv lacks the columns MeSH, findings, impression; it has uid, text"
    ):
        openi.studies(kaggle, Drops())


def test_a_study_that_comes_twice_is_told_and_the_first_is_kept(kaggle, drops, reasons):
    path = kaggle / openi.REPORTS
    path.write_text(path.read_text() + "1,Cardiomegaly,Another phantom.,\n")
    assert openi.studies(kaggle, drops)["1"].terms == ("normal",)
    assert reasons() == {"the number of its study came before": 1}


def test_wrong_settings_and_folders_are_told(iu_xray, r2gen_copy, tmp_path):
    with pytest.raises(UserError, match="value of splits 'official'.*published, seeded"):
        iu_xray.rows(r2gen_copy, "train", splits="official")
    with pytest.raises(UserError, match="value of ask 'normals'. Did you mean 'normal'"):
        iu_xray.rows(r2gen_copy, "train", ask="normals")
    with pytest.raises(UserError, match="There is no folder .*nowhere.*RULE's question file"):
        iu_xray.rows(tmp_path / "nowhere", "train")
    with pytest.raises(UserError, match="has neither indiana_reports.csv nor XML files"):
        iu_xray.rows(r2gen_copy, "train", ask="normal")
    with pytest.raises(UserError, match="split 'dev'"):
        iu_xray.rows(r2gen_copy, "dev")


def test_the_whole_file_can_be_the_test_set_and_nothing_else(iu_xray, r2gen_copy, tmp_path):
    """All 40 rows are test, with no annotation.json needed; the reader has no other split then."""
    data = {"reader": "iu_xray", "source": str(r2gen_copy), "params": {"splits": "test"}}
    card = prepare.prepare(data, command.load_prompt("yes_no"), tmp_path / "out", 0, 16)
    assert {split: facts["rows"] for split, facts in card["splits"].items()} == {"test": 40}
    assert "All rows are test: there is nothing to train on here." in card["about"]["notes"]
    assert not (tmp_path / "out/train.parquet").exists()


def test_a_published_split_without_training_rows_is_prepared_as_far_as_is_wanted(r2gen_copy, tmp_path):
    entries = {"train": [], "val": [], "test": [{"id": f"CXR{i}_IM-{i:04}", "report": "", "split": "test", "image_path": []} for i in range(1, 21)]}  # fmt: skip
    (r2gen_copy / "annotation.json").write_text(json.dumps(entries))
    data = {"reader": "iu_xray", "source": str(r2gen_copy), "params": {"splits": "published"}}
    with pytest.raises(prepare.BadSplit, match=r"split train .* has no rows left.*conf.data.only=\[test\]"):
        prepare.prepare(data, command.load_prompt("yes_no"), tmp_path / "out", 0, 16)
    card = prepare.prepare(data | {"only": ["test"]}, command.load_prompt("yes_no"), tmp_path / "out", 0, 16)
    assert card["splits"].keys() == {"test"} and card["splits"]["test"]["rows"] == 40
