"""`prepare` leaves the reports beside the splits: each once, each with its split, told by the card."""

import json

import pytest

from medical_rl.data.inspect.check import check_folder
from medical_rl.data.parquet import read_samples
from medical_rl.data.prepare import card as cards
from medical_rl.data.prepare import prepare, readers
from medical_rl.data.reports import FILE, Report, read_reports, write_reports
from medical_rl.data.rows import Drops
from medical_rl.errors import UserError


@pytest.fixture
def with_reports(toy, three_splits, monkeypatch):
    """A function that gives the reader "toy" a corpus of entries, and its configuration."""

    def make(*entries, rows=None, **about):
        data = toy(rows or three_splits, **about)
        readers.load_reader("toy").reports = lambda source, drops=None, **params: iter(entries)
        return data

    return make


def entry(id, text="Phantom text.", study=None, **more):
    return {"id": id, "text": text, "study": study or f"study {id}", **more}


def run(data, out, prompt, batch_size=1):
    return prepare.prepare(data, prompt, out, 0, batch_size)


def found(out):
    return {report.id: report for report in read_reports(out / FILE)}


def test_reports_are_written_with_their_split_and_the_card_tells_count_and_hash(with_reports, bare, tmp_path):
    data = with_reports(
        entry("own of train", study="train/0"),
        entry("own of test", study="test/1", split="train"),
        entry("own of val", study="val/2"),
        entry("held elsewhere", study="train/1", split="test"),
        entry("of nobody asked"),
        entry("of nobody asked, held", split="validation"),
    )
    card = run(data, tmp_path, bare)
    splits = {name: report.split for name, report in found(tmp_path).items()}
    # Held out by our rows or by its own source, a report stays held out; the rest is train.
    assert splits == {
        "own of train": "train",
        "own of test": "test",
        "own of val": "val",
        "held elsewhere": "test",
        "of nobody asked": "train",
        "of nobody asked, held": "val",
    }
    assert card["reports"] == {"reports": 6, "restricted": 0, "splits": {"test": 2, "train": 2, "val": 2}}
    assert card["files"][FILE] == cards.sha256(tmp_path / FILE) and FILE not in card["splits"]
    assert "Reports to retrieve: 6 (2 of test, 2 of train, 2 of val" in (tmp_path / "README.md").read_text()
    # The check of a prepared folder takes them for no split.
    report = check_folder(tmp_path)
    assert [memory.split for memory in report.splits] == ["train", "val", "test"]
    assert not [f for f in report.findings if f.check in ("schema", "row")]
    (tmp_path / "card.json").unlink()
    assert [memory.split for memory in check_folder(tmp_path).splits] == ["train", "val", "test"]


def test_a_tested_study_whose_row_was_not_chosen_is_held_out_all_the_same(with_reports, bare, tmp_path):
    data = with_reports(*(entry(f"r{i}", study=f"test/{i}") for i in range(3)))
    card = run(data | {"test_per_class": 1}, tmp_path, bare)
    assert card["splits"]["test"]["rows"] == 1 and card["reports"]["splits"] == {"test": 3}


def test_a_second_call_does_nothing_and_a_changed_file_is_made_again(with_reports, bare, tmp_path):
    data = with_reports(entry("1"))
    card = run(data, tmp_path, bare)
    stamp = (tmp_path / FILE).stat().st_mtime_ns
    assert run(data, tmp_path, bare) == card and (tmp_path / FILE).stat().st_mtime_ns == stamp
    (tmp_path / FILE).unlink()
    run(data, tmp_path, bare)
    assert list(found(tmp_path)) == ["1"]
    # What is no longer made is taken away.
    card = run(data | {"reports": False}, tmp_path, bare)
    assert card["reports"] is None and not (tmp_path / FILE).exists()


def test_empty_and_repeated_reports_are_told(with_reports, bare, tmp_path):
    card = run(
        with_reports(entry("1"), entry("1", "Another."), entry("2", " \n"), entry("3", None)), tmp_path, bare
    )
    assert found(tmp_path)["1"].text == "Phantom text." and card["reports"]["reports"] == 1
    told = {reason: entry["rows"] for reason, entry in card["dropped"].items()}
    assert told == {"its report is empty": 2, "the id of its report came before": 1}


@pytest.mark.parametrize("about", [{"restricted": True}, {"source": "MIMIC-CXR-JPG"}])
def test_reports_of_a_restricted_source_are_restricted(with_reports, bare, tmp_path, about):
    run(with_reports(entry("1"), **about), tmp_path, bare)
    assert found(tmp_path)["1"].restricted


def test_a_source_without_reports_leaves_no_file_and_named_ones_must_be_there(
    with_reports, toy, three_splits, bare, tmp_path
):
    card = run(with_reports(), tmp_path / "a", bare)
    assert card["reports"] is None and not (tmp_path / "a" / FILE).exists()
    with pytest.raises(UserError, match="There are no reports at .*nowhere.json"):
        run(with_reports() | {"reports": "nowhere.json"}, tmp_path / "a", bare)
    with pytest.raises(UserError, match="There is no report in"):
        run(with_reports() | {"reports": [str(tmp_path)]}, tmp_path / "b", bare)
    data = toy(three_splits) | {"reports": str(tmp_path)}
    with pytest.raises(UserError, match="The reader toy knows no reports"):
        run(data, tmp_path / "c", bare)


def test_a_file_of_the_users_own_is_not_overwritten(with_reports, bare, tmp_path):
    (tmp_path / FILE).write_bytes(b"mine")
    with pytest.raises(UserError, match="holds reports.parquet, which no preparation wrote"):
        run(with_reports(entry("1")), tmp_path, bare)
    assert (tmp_path / FILE).read_bytes() == b"mine"
    # One that a preparation wrote, whose card was lost, may be replaced.
    write_reports([Report("old", "Phantom.", "g")], tmp_path / FILE)
    run(with_reports(entry("1")), tmp_path, bare)
    assert list(found(tmp_path)) == ["1"]


def test_a_report_comes_back_as_it_was_and_another_file_is_refused(tmp_path, bare):
    reports = [Report("1", "Ünïcode 文.", "g", "train", True, (b"\x89PNG", b"")), Report("2", "b", "h")]
    facts = write_reports(iter(reports), tmp_path / "r.parquet")
    assert facts == {"reports": 2, "restricted": 1, "splits": {"": 1, "train": 1}}
    assert list(read_reports(tmp_path / "r.parquet")) == reports
    assert [r.images for r in read_reports(tmp_path / "r.parquet", with_images=False)] == [(), ()]
    (tmp_path / "x.parquet").write_bytes(b"x")
    for name, said in (("x.parquet", "cannot be read as parquet"), ("none.parquet", "There is no file")):
        with pytest.raises(UserError, match=said):
            list(read_reports(tmp_path / name))


def test_a_column_of_reports_of_a_table_of_ones_own_is_a_corpus(put, image_bytes, bare, tmp_path):
    rows = ["image,question,answer,kind,group,split,findings"]
    for i, split in enumerate(["train", "train", "val", "test"]):
        put(f"{i}.png", image_bytes(i))
        # The first two rows are of one study, whose report is in the table twice.
        rows.append(f"{i}.png,Is it?,yes,yes_no,patient {max(i, 1)},{split},Report of {max(i, 1)}.")
    data = {
        "name": "mine", "reader": "custom", "source": str(put("rows.csv", "\n".join(rows)).parent),
        "params": {"columns": {"report": "findings"}, "restricted": True},
    }  # fmt: skip
    run(data, tmp_path / "out", bare)
    kept = [(r.text, r.group, r.split, r.restricted) for r in found(tmp_path / "out").values()]
    assert kept == [
        ("Report of 1.", "patient 1", "train", True),
        ("Report of 2.", "patient 2", "val", True),
        ("Report of 3.", "patient 3", "test", True),
    ]
    assert {s.meta["report"] for s in read_samples(tmp_path / "out/train.parquet")} == {"Report of 1."}


def test_mimics_reports_are_of_their_patient_where_the_entry_names_one(tmp_path):
    mimic = readers.load_reader("mimic_cxr")
    entries = [
        {
            "id": "a",
            "report": "Phantom a.",
            "split": "train",
            "image_path": ["p10/p10000032/s50414267/x.jpg"],
        },
        {"id": "files/p10/p10000033/s50414268.txt", "report": "Phantom b.", "subject_id": 10000033},
        {"id": "s50414269", "report": "Phantom c."},
    ]
    path = tmp_path / "mimic_retriever.json"
    path.write_text(json.dumps(entries))
    got = [(e.get("group"), e["study"], e["text"]) for e in mimic.reports(path)]
    assert got == [
        ("p10000032", "a", "Phantom a."),
        ("p10000033", "s50414268", "Phantom b."),
        (None, "s50414269", "Phantom c."),
    ]
    assert [e["id"] for e in mimic.reports(tmp_path)] == [e["id"] for e in entries]


def test_rules_real_corpus_is_prepared_beside_its_questions(realdata, bare, tmp_path):
    folder = realdata / "iu_xray"
    params = {"questions": "rule_iuxray_test.jsonl", "require_images": False}
    data = {"name": "iu", "reader": "iu_xray", "source": str(folder), "params": params}
    card = run(data, tmp_path / "rule", bare)
    # Found beside the questions: 1,034 + 1,035, all of R2Gen's training studies, none of which is asked about.
    assert card["reports"] == {"reports": 2069, "restricted": 0, "splits": {"train": 2069}}
    card = run(data | {"reports": "r2gen_annotation_BROKEN_TEST_KEY.json"}, tmp_path / "r2gen", bare)
    # The annotation holds the studies asked about too, in its test split of 590: held out all of them (some as our val), though
    # seeded rows of most of them are train. 296 more are its val.
    splits = card["reports"]["splits"]
    assert splits["train"] == 2069 and splits["val"] + splits["test"] == 296 + 590
    (tmp_path / "kaggle").mkdir()
    table = tmp_path / "kaggle" / "indiana_reports.csv"
    table.write_bytes((folder / table.name).read_bytes())
    card = run(data | {"reports": str(table.parent)}, tmp_path / "tables", bare)
    # The tables state no split: of 3,851 studies 25 have no report, and those that val and test rows ask about are held out.
    held = {
        s: {x.group for x in readers.load_reader("iu_xray").rows(folder, s, drops=Drops(), **params)}
        for s in ("val", "test")
    }
    assert card["reports"]["reports"] == 3826
    assert {s: n for s, n in card["reports"]["splits"].items() if s != "train"} == {
        s: len(g) for s, g in held.items()
    }
