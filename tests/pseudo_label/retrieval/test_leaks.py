"""A row is never given its own report: by id, by group, by text; and the finished lists are looked at again."""

import json

import pytest

from medical_rl.errors import UserError
from medical_rl.pseudo_label.retrieval import RETRIEVERS
from medical_rl.pseudo_label.retrieval import retrieve as edge
from medical_rl.pseudo_label.retrieval.corpus import Guard, Hit, refuse_own, word_counts, word_overlap

# 17 words; with two of them replaced 15 / (17 + 17 - 15) = 0.79 of the words are shared.
OWN = "The phantom heart is large. There is a small effusion on the left side. Bones are intact."
TWO_CHANGED = OWN.replace("small", "tiny").replace("intact", "whole")
OTHERS = {
    "a": "A phantom effusion fills half of one hemithorax, with shift.",
    "b": "No effusion, no nodule.",
    "c": "An effusion was drained yesterday; the lung has come up again.",
    "d": "Clear lungs without effusion or consolidation.",
}


@pytest.fixture
def others(report):
    return [report(name, text) for name, text in OTHERS.items()]


def test_two_texts_are_compared_by_their_words_whatever_their_order():
    assert word_overlap(word_counts(OWN), word_counts(TWO_CHANGED)) == pytest.approx(15 / 19)
    first, second, third = OWN.split(". ")
    assert word_overlap(word_counts(OWN), word_counts(f"{third}. {second}. {first}".upper())) == 1.0
    # Repeats count: "no no" is not "no". Nothing is like nothing.
    assert (
        word_overlap(word_counts("no no"), word_counts("no")) == 0.5
        and word_overlap(word_counts(""), word_counts("...")) == 0.0
    )


@pytest.mark.parametrize(
    "made, why",
    [
        ({"id": "1", "text": "Another text."}, "own id, patient or study"),
        ({"id": "z", "text": "Another text.", "group": "study of row 1"}, "own id, patient or study"),
        ({"id": "z", "text": "Another text.", "group": "s50000001"}, "own id, patient or study"),
        ({"id": "z", "text": OWN}, r"\(1.00 alike\)"),
        ({"id": "z", "text": TWO_CHANGED}, r"\(0.79 alike\)"),
    ],
)
def test_a_planted_own_report_is_left_out_and_caught_in_a_finished_list(
    row, report, others, bm25, tmp_path, made, why
):
    sample = row(
        "1", "Is there an effusion?", group="study of row 1", meta={"report": OWN, "study": "s50000001"}
    )
    reports = [report(**made), *others]
    counts = edge.retrieve(bm25, [sample], reports, 4, tmp_path)
    found = edge.read_retrieved(tmp_path / edge.FILE)["1"]
    assert {hit.id for hit in found} == set(OTHERS) and counts["retrievable"] == 5
    # As a careless retriever would leave it: the row and the report are named.
    with pytest.raises(UserError, match=f"Row 1 was given its own report {made['id']}: .*{why}"):
        refuse_own([sample], {"1": [*found, Hit(made["id"], 0.1)]}, Guard(reports, 0.7), ["train"])


def test_the_own_text_is_known_from_a_held_out_report_where_the_row_does_not_bring_it(
    row, report, others, bm25, tmp_path
):
    sample = row("1", "Is there an effusion?", group="study 9")
    own, copy = report("r9", OWN, "study 9", split="test"), report("copy", TWO_CHANGED, "elsewhere")
    edge.retrieve(bm25, [sample], [own, copy, *others], 4, tmp_path)
    assert {hit.id for hit in edge.read_retrieved(tmp_path / edge.FILE)["1"]} == set(OTHERS)
    # Without it nobody could know: the copy is then a report like any other.
    edge.retrieve(bm25, [sample], [copy, *others], 5, tmp_path)
    assert "copy" in {hit.id for hit in edge.read_retrieved(tmp_path / edge.FILE)["1"]}


def test_twenty_copies_before_them_do_not_cost_a_row_its_reports(row, report, others, bm25, tmp_path):
    sample = row("1", "Is there a small effusion on the left side, heart large?", meta={"report": OWN})
    copies = [report(f"copy {i}", OWN) for i in range(20)]
    counts = edge.retrieve(bm25, [sample], [*copies, *others], 3, tmp_path)
    found = edge.read_retrieved(tmp_path / edge.FILE)["1"]
    assert len(found) == 3 and {hit.id for hit in found} <= set(OTHERS)
    # All twenty were ranked before the first other one.
    assert counts["own"] == 20


def test_a_retriever_that_gives_rows_their_own_reports_is_stopped_and_leaves_nothing(
    row, report, others, bm25, tmp_path, monkeypatch
):
    class Careless:
        def rank(self, samples, k):
            return [[Hit("own", 1.0), *(Hit(name, 0.5) for name in OTHERS)][:k] for _ in samples]

    monkeypatch.setitem(RETRIEVERS, "bm25", lambda settings, reports, folder: Careless())
    sample, reports = row("1", meta={"report": OWN}), [report("own", TWO_CHANGED), *others]
    edge.retrieve(bm25, [sample], reports, 2, tmp_path / "kept out")
    assert [hit.id for hit in edge.read_retrieved(tmp_path / "kept out" / edge.FILE)["1"]] == ["a", "b"]
    # Were its own reports not left out, the assertion over the written lists stops it, and the file does not count as done.
    monkeypatch.setattr(Guard, "others", lambda self, sample, hits: list(hits))
    with pytest.raises(UserError, match="Row 1 was given its own report own"):
        edge.retrieve(bm25, [sample], reports, 2, tmp_path / "caught")
    assert not (tmp_path / "caught" / edge.ABOUT).exists()


def test_a_list_that_was_changed_afterwards_is_made_again(row, report, others, bm25, tmp_path):
    sample, reports = row("1", meta={"report": OWN}), [report("own", TWO_CHANGED), *others]
    edge.retrieve(bm25, [sample], reports, 2, tmp_path)
    before = (tmp_path / edge.FILE).read_bytes()
    (tmp_path / edge.FILE).write_text(
        json.dumps({"id": "1", "retrieved": [{"id": "own", "score": 1.0}]}) + "\n"
    )
    edge.retrieve(bm25, [sample], reports, 2, tmp_path)
    assert (tmp_path / edge.FILE).read_bytes() == before


def test_a_held_out_report_and_a_missing_list_are_refused(row, report, others):
    sample, held = row("1"), report("held", "Anything else.", split="test")
    guard = Guard([held, *others], 0.7)
    with pytest.raises(UserError, match="Row 1 was given the report held of the split 'test'"):
        refuse_own([sample], {"1": [Hit("held", 1.0)]}, guard, ["train"])
    with pytest.raises(UserError, match="Row 1 has no list"):
        refuse_own([sample], {}, guard, ["train"])
    with pytest.raises(UserError, match="a report 'who' that is not in the corpus"):
        refuse_own([sample], {"1": [Hit("who", 1.0)]}, guard, ["train"])
    with pytest.raises(UserError, match="'a' is in the corpus twice"):
        Guard([*others, others[0]], 0.7)
