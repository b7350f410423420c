"""The edge: k reports a row, written whole or not at all, once."""

import json

import pytest

from medical_rl.data import parquet
from medical_rl.errors import UserError
from medical_rl.pseudo_label.retrieval import RETRIEVERS, retriever_settings
from medical_rl.pseudo_label.retrieval import retrieve as edge


@pytest.fixture
def reports(report):
    words = ("effusion", "nodule", "fracture", "edema", "pneumonia", "granuloma")
    return [report(f"r{i}", f"A phantom {word} is described here.") for i, word in enumerate(words)]


@pytest.fixture
def rows(row):
    return [row("1", "Is there an edema?"), row("2", "Are there nodules?")]


def test_one_line_a_row_with_its_reports_best_first(rows, reports, bm25, tmp_path):
    counts = edge.retrieve(bm25, rows, reports, 2, tmp_path)
    assert counts == {"rows": 2, "reports": 6, "retrievable": 6, "k": 2, "own": 0}
    lines = [json.loads(line) for line in (tmp_path / edge.FILE).read_text().splitlines()]
    assert [line["id"] for line in lines] == ["1", "2"] and set(lines[0]) == {"id", "retrieved"}
    # "nodules" finds "nodule"; after the one that has the word all score 0, and the corpus's order decides.
    assert [[hit["id"] for hit in line["retrieved"]] for line in lines] == [["r3", "r0"], ["r1", "r0"]]
    assert lines[0]["retrieved"][0]["score"] > lines[0]["retrieved"][1]["score"] == 0


def test_reports_of_tested_studies_are_never_given(rows, report, reports, bm25, tmp_path):
    held = [
        report(f"{split} {i}", "Edema and nodule.", split=split)
        for split in ("val", "test")
        for i in range(3)
    ]
    counts = edge.retrieve(bm25, rows, [*held, *reports], 6, tmp_path)
    found = edge.read_retrieved(tmp_path / edge.FILE)
    assert counts["reports"] == 12 and counts["retrievable"] == 6
    assert all({hit.id for hit in hits} == {r.id for r in reports} for hits in found.values())
    with pytest.raises(
        UserError, match="12 reports, of the splits test, train, val, and conf.retriever.splits names dev"
    ):
        edge.retrieve({**bm25, "splits": ["dev"]}, rows, [*held, *reports], 2, tmp_path)


def test_the_same_call_does_nothing_and_another_starts_over(
    rows, reports, report, bm25, tmp_path, monkeypatch
):
    built, make = [], RETRIEVERS["bm25"]
    monkeypatch.setitem(RETRIEVERS, "bm25", lambda *given: built.append(1) or make(*given))
    first = edge.retrieve(bm25, rows, reports, 2, tmp_path)
    stamp = (tmp_path / edge.FILE).stat().st_mtime_ns
    assert edge.retrieve(bm25, rows, reports, 2, tmp_path) == first
    assert (tmp_path / edge.FILE).stat().st_mtime_ns == stamp and len(built) == 1
    changes = [
        (bm25, rows, reports, 3),
        ({**bm25, "k1": 1.2}, rows, reports, 3),
        (bm25, rows[:1], reports, 3),
        (bm25, rows, [*reports, report("new", "Edema.")], 3),
    ]
    for number, change in enumerate(changes, 2):
        edge.retrieve(*change, tmp_path)
        assert len(built) == number
    (tmp_path / edge.ABOUT).write_text("{")
    edge.retrieve(*changes[-1], tmp_path)
    assert len(built) == len(changes) + 2


def test_a_stop_in_the_middle_leaves_no_list(rows, reports, bm25, tmp_path, monkeypatch):
    monkeypatch.setattr(edge, "AT_ONCE", 1)

    class Stopped:
        def rank(self, samples, k):
            if samples[0].id == "2":
                raise KeyboardInterrupt
            return make(bm25, reports, tmp_path).rank(samples, k)

    make = RETRIEVERS["bm25"]
    monkeypatch.setitem(RETRIEVERS, "bm25", lambda *given: Stopped())
    with pytest.raises(KeyboardInterrupt):
        edge.retrieve(bm25, rows, reports, 2, tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(RETRIEVERS, "bm25", make)
    assert edge.retrieve(bm25, rows, reports, 2, tmp_path)["rows"] == 2


def test_too_few_others_rows_of_one_id_and_no_rows_are_told(rows, reports, bm25, tmp_path):
    with pytest.raises(UserError, match="Row 1 has 6 reports that are not its own, and k=7 are wanted"):
        edge.retrieve(bm25, rows, reports, 7, tmp_path)
    with pytest.raises(UserError, match="row id '1' comes twice"):
        edge.retrieve(bm25, [*rows, rows[0]], reports, 2, tmp_path)
    with pytest.raises(UserError, match="no rows"):
        edge.retrieve(bm25, [], reports, 2, tmp_path)
    with pytest.raises(UserError, match="k=0"):
        edge.retrieve(bm25, rows, reports, 0, tmp_path)
    with pytest.raises(UserError, match="is no list of retrieved reports"):
        edge.read_retrieved(tmp_path / "nowhere.jsonl")


def test_prepared_files_are_read_anew_each_time_and_a_copy_made_to_fill_a_batch_once(row, bm25, tmp_path):
    prompt = {"name": "bare", "template": "{{ question }}", "system": None, "target": "{{ answer }}"}
    parquet.write_split([row("1"), row("1", meta={"copy": 1}), row("2")], tmp_path / "train.parquet", prompt)
    found = edge.PreparedRows(tmp_path / "train.parquet", settings=bm25)
    assert [s.id for s in found] == [s.id for s in found] == ["1", "2"]


def test_settings_that_could_not_work_are_refused(bm25, chosen):
    assert retriever_settings(bm25) == bm25 and retriever_settings(chosen("clip"))["kind"] == "clip"
    for change, said in (
        ({"kind": "bm52"}, "no kind of retriever 'bm52'. Did you mean 'bm25'"),
        ({"model": "x"}, "no setting of a retriever of kind bm25 named 'model'"),
        ({"near_duplicate": 0}, "near_duplicate=0 is no share"),
    ):
        with pytest.raises(UserError, match=said):
            retriever_settings({**bm25, **change})
    with pytest.raises(UserError, match="lacks k1"):
        retriever_settings({name: value for name, value in bm25.items() if name != "k1"})
    with pytest.raises(UserError, match="No retriever is chosen"):
        retriever_settings(None)
