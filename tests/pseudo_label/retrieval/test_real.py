"""RULE's real IU-Xray files: 2,069 reports are ranked for all usable ones of 2,573 questions, and none is a row's own."""

import collections
import dataclasses
import random

import pytest

from medical_rl.pseudo_label.retrieval.corpus import Guard, Hit, refuse_own, word_counts, word_overlap
from medical_rl.pseudo_label.retrieval.retrieve import FILE, read_retrieved, retrieve

K = 8


@pytest.fixture(scope="module")
def done(real_rows, real_reports, chosen, tmp_path_factory):
    folder = tmp_path_factory.mktemp("retrieved")
    return retrieve(chosen("bm25"), real_rows, real_reports, K, folder), read_retrieved(folder / FILE)


def test_every_question_has_8_reports_of_other_studies_and_none_like_its_own(done, real_rows, real_reports):
    counts, found = done
    # 2,573 questions less the 85 that are no question or no answer; 1,034 + 1,035 reports, all of training studies.
    assert (counts["rows"], counts["reports"], counts["retrievable"], counts["k"]) == (2488, 2069, 2069, K)
    assert {len(hits) for hits in found.values()} == {K} and set(found) == {s.id for s in real_rows}
    texts = {r.id: word_counts(r.text) for r in real_reports}
    for sample in real_rows:
        hits, own = found[sample.id], word_counts(sample.meta["report"])
        assert len({hit.id for hit in hits}) == K and [h.score for h in hits] == sorted(
            (h.score for h in hits), reverse=True
        )
        assert max(word_overlap(texts[hit.id], own) for hit in hits) < 0.7


def test_reports_equal_to_a_rows_own_are_many_and_left_out(done, real_rows, real_reports):
    # No study is in both, and yet standard reports are word for word the same: of 2,573 questions 1,209 have their own
    # report's text in the corpus (by the files alone; fewer rows here, for 85 are dropped).
    texts = collections.Counter(" ".join(r.text.split()) for r in real_reports)
    equal = sum(" ".join(s.meta["report"].split()) in texts for s in real_rows)
    assert 1000 < equal <= 1209
    counts, _ = done
    assert counts["own"] > 0


def test_a_planted_own_report_with_two_words_changed_is_kept_from_its_row(
    real_rows, real_reports, chosen, tmp_path
):
    rng = random.Random(0)
    rows = [s for s in real_rows if len(s.meta["report"].split()) >= 15][::50]
    planted = []
    for number, sample in enumerate(rows):
        said = sample.meta["report"].split()
        for place in rng.sample(range(len(said)), 2):
            said[place] = "phantom"
        # The question itself is in it, so that BM25 ranks it first.
        planted.append(
            dataclasses.replace(
                real_reports[0], id=f"planted/{number}", group=f"planted {number}", text=" ".join(said)
            )
        )
    reports = [*real_reports, *planted]
    retrieve(chosen("bm25"), rows, reports, K, tmp_path)
    found = read_retrieved(tmp_path / FILE)
    assert len(rows) > 20 and all(len(hits) == K for hits in found.values())
    assert not any(hit.id == f"planted/{n}" for n, s in enumerate(rows) for hit in found[s.id])
    # The negative control: names alone would have let them through, and the assertion over the lists sees each.
    blind = Guard(reports, near_duplicate=1.0)
    guard = Guard(reports, near_duplicate=0.7)
    for number, sample in enumerate(rows):
        given = {sample.id: [Hit(f"planted/{number}", 1.0)]}
        refuse_own([sample], given, blind, ["train"])
        with pytest.raises(Exception, match=f"Row {sample.id} was given its own report planted/{number}"):
            refuse_own([sample], given, guard, ["train"])


def test_a_question_finds_reports_that_speak_of_what_it_asks(done, real_rows, real_reports):
    texts = {r.id: r.text.lower() for r in real_reports}
    asked = [s for s in real_rows if "pneumothorax" in s.question.lower()]
    named = sum("pneumothorax" in texts[done[1][s.id][0].id] for s in asked) / len(asked)
    # 64 % of all reports name it; of the first hits of questions about it nearly all do.
    share = sum("pneumothorax" in text for text in texts.values()) / len(texts)
    assert len(asked) > 50 and share < 0.75 and named > 0.95
