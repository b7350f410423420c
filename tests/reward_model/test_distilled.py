"""Preferences distilled from a judge: what it is shown, what it is not, and what becomes of its word."""

import json

import pytest

from medical_rl.errors import UserError
from medical_rl.judges.desk.rules import Budget, Limits
from medical_rl.judges.desk.sqlite_desk import SqliteDesk
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.judge import AskingStopped, Judge
from medical_rl.reward_model.graded import read_graded
from medical_rl.reward_model.grading.distilled import (
    agreeing_rows,
    agreement_figures,
    candidates,
    distil,
    write_pairs,
)
from medical_rl.reward_model.grading.synonyms import load
from medical_rl.reward_model.grading.text_maker import Donors, TextMaker
from medical_rl.sample import Sample
from medical_rl.tiny import phantoms

TAGGED = {"name": "tagged", "target": "<think>{{ thought }}</think><answer>{{ answer }}</answer>"}
BUILTIN = load("builtin")


@pytest.fixture(scope="module")
def samples():
    return list(phantoms.rows(split="train", task="vqa", sizes={"train": 40}))


@pytest.fixture
def judge(fake_endpoint, tmp_path):
    """Makes a Judge of the fake endpoint, which says `better`; all of one test share ledger and cache."""

    def make(better="first", budget=None, local=False, **program):
        fake_endpoint.program(**{"text": json.dumps({"better": better, "reason": "r"}), **program})
        desk = SqliteDesk(tmp_path / "ledger.sqlite", tmp_path / "cache.sqlite", Limits(), budget or Budget())
        return Judge(
            Endpoint(fake_endpoint.url, "fake", timeout_s=5.0, local=local),
            desk,
            backoff_s=0.01,
            max_attempts=1,
        )

    return make


def run(samples, judge, seed=0, **options):
    return distil(samples, TAGGED, seed, BUILTIN, judge, donors=Donors(samples, seed), **options)


def test_the_judge_sees_the_images_the_question_and_both_texts_and_no_grade(samples, judge, sent):
    found = run(samples, judge())
    pictures = {sample.images for sample in samples}
    assert len(found) == len(sent) == 40
    for messages, images in sent:
        assert images in pictures and messages[0]["role"] == "system"
        case = json.loads(messages[-1]["content"].split("\n", 1)[1].rsplit("\n", 1)[0])
        assert set(case) == {"question", "first", "second"} and case["first"] != case["second"]


def test_the_place_of_the_better_one_is_noted_and_follows_the_judge(samples, judge):
    first, second = run(samples, judge("first")), run(samples, judge("second"), seed=1)
    assert all(p.better_first for p in first) and not any(p.better_first for p in second)
    assert (
        agreement_figures(first)["better_first"] == 1.0 and agreement_figures(second)["better_first"] == 0.0
    )  # a judge that looks at the place alone


def test_places_are_drawn_so_that_no_grade_has_its_own(samples):
    making = TextMaker(TAGGED, 0, BUILTIN, Donors(samples, 0))
    two = [
        candidates(sample, making)
        for sample in phantoms.rows(split="train", task="vqa", sizes={"train": 200})
    ]
    ordered = [one.grade > other.grade for one, other in two if one.grade != other.grade]
    # half of about 160: within three standard deviations (0.04 each) of a half
    assert len(ordered) > 100 and 0.38 < sum(ordered) / len(ordered) < 0.62
    assert len({one.made_by for one, _ in two}) == 7
    assert two == [candidates(one.sample, making) for one, _ in two]


@pytest.mark.parametrize(("sign", "agree"), [(1, 1.0), (-1, 0.0)])
def test_agreement_with_the_builders_is_counted(samples, judge, monkeypatch, sign, agree):
    making = TextMaker(TAGGED, 0, BUILTIN, Donors(samples, 0))
    known = {
        (made.sample.images, made.text): sign * made.grade
        for sample in samples
        for made in candidates(sample, making)
    }

    async def by_grade(self, messages, schema, images=(), restricted=False, source=""):
        case = json.loads(messages[-1]["content"].split("\n", 1)[1].rsplit("\n", 1)[0])
        first, second = (known[images, case[place]] for place in ("first", "second"))
        return {"better": "first" if first > second else "second" if second > first else "tie", "reason": "r"}

    monkeypatch.setattr(Judge, "ask", by_grade)
    counted = agreement_figures(run(samples, judge()))
    assert counted["agree"] == agree and counted["pairs"] == counted["ordered"] > 20  # ties are no pairs


def test_graded_rows_come_from_the_pairs_in_which_judge_and_builders_agree(samples, judge):
    found = run(samples, judge("first"))
    rows = agreeing_rows(found)
    sides = [p for p in found if p.better.grade > p.worse.grade]
    assert 0 < len(sides) < len(found) and len(rows) == 2 * len(sides)
    assert {(r.sample.id, r.text) for r in rows} == {
        (r.sample.id, r.text) for p in sides for r in (p.better, p.worse)
    }


def test_a_tie_is_no_preference(samples, judge):
    assert run(samples, judge("tie")) == [] and agreement_figures([])["pairs"] == 0


def test_so_many_rows_are_drawn_whatever_their_order(samples, judge):
    one, other = (run(rows, judge(), pairs=7) for rows in (samples, samples[::-1]))
    assert len(one) == 7 and one == other


def test_answers_are_kept_and_a_cap_stops_before_more_is_spent(samples, judge, fake_endpoint):
    with pytest.raises(AskingStopped, match="cap of conf.judge.budget is met: 3 of 40"):
        run(samples, judge(budget=Budget(max_requests=3)))
    assert len(run(samples, judge())) == 40
    assert len(fake_endpoint.log()["requests"]) == 37


def test_a_failed_question_gives_no_preference(samples, judge):
    assert len(run(samples, judge(script=["garbage"]))) == 39
    with pytest.raises(AskingStopped):
        run(samples, judge("second", share_500=1.0), seed=5)


def test_restricted_rows_are_refused_before_anything_is_asked(samples, judge, fake_endpoint):
    closed = Sample(
        id="1",
        source="mimic_cxr",
        question="?",
        kind="yes_no",
        answer="no",
        meta={"thought": "The heart is enlarged."},
    )
    with pytest.raises(UserError, match="mimic_cxr may not be sent"):
        run([*samples, closed], judge())
    assert fake_endpoint.log()["requests"] == []
    assert len(run([closed], judge(local=True))) == 1


def test_pairs_come_back_from_their_file_with_a_line_each_of_how_they_were_told(samples, judge, tmp_path):
    found = run(samples, judge())
    assert write_pairs(found, tmp_path / "pairs.parquet") == 40
    assert list(read_graded(tmp_path / "pairs.parquet")) == [
        row for p in found for row in (p.better, p.worse)
    ]
    lines = [json.loads(line) for line in (tmp_path / "pairs.parquet.jsonl").read_text().splitlines()]
    assert [line["better"] for line in lines] == [p.better.made_by for p in found] and lines[0][
        "better_first"
    ] is True
