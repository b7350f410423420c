"""The endpoint labeller against the fake endpoint: kept answers, kills, failures, the budget, restricted rows and reports."""

import json
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from medical_rl.data.reports import Report
from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.errors import UserError
from medical_rl.judges.judge import AskingStopped
from medical_rl.pseudo_label.answering import answers_per_k
from medical_rl.pseudo_label.label import Label, LabelQuestion
from medical_rl.pseudo_label.labellers import label

REPLY = {"rationale": " The angles are sharp. ", "used": [2, 1, 2], "answer": "no", "confidence": 0.9}
TEXT = json.dumps(REPLY)
REPORTS = {f"r{n}": Report(f"r{n}", f"Report text {n}.", f"study {n}") for n in range(6)}


@pytest.fixture
def chosen(fake_endpoint, settings):
    """Settings of the endpoint labeller that ask the fake endpoint."""

    def make(service=None, **changes):
        service = dict(service or {})
        own = {"base_url": fake_endpoint.url, "model": "fake", "api_key_env": None, "timeout_s": 5}
        at = own | service.pop("endpoint", {})
        return settings("openai", service={"backoff_s": 0.01, **service, "endpoint": at}, **changes)

    return make


def outcomes(server):
    return [outcome for _, _, outcome, _ in server.log()["requests"]]


def two(row):
    return LabelQuestion(row, (REPORTS["r1"], REPORTS["r2"]))


def test_a_reply_becomes_a_label_with_the_reports_it_rests_on(fake_endpoint, chosen, make_row, work):
    fake_endpoint.program(text=TEXT)
    found = label(chosen(), [two(make_row(i)) for i in range(3)], work)
    assert found == [
        Label(str(i), "no", "The angles are sharp.", ("r1", "r2"), 0.9, used=("r2", "r1")) for i in range(3)
    ]
    assert outcomes(fake_endpoint) == ["ok"] * 3


def test_the_picture_goes_along_and_the_parameters_are_the_settings(
    fake_endpoint, chosen, make_row, work, sent
):
    fake_endpoint.program(text=TEXT)
    row = make_row(4)
    label(chosen(), [two(row)], work)
    ((messages, images),) = sent
    assert images == row.images and [turn["role"] for turn in messages] == ["system", "user"]


def test_unsure_is_an_abstention(fake_endpoint, chosen, make_row, work):
    fake_endpoint.program(text=json.dumps({**REPLY, "answer": "unsure"}))
    (found,) = label(chosen(), [two(make_row(0))], work)
    assert found == Label("0", None, retrieved=("r1", "r2")) and found.outcome == "abstained"


def test_an_invalid_reply_is_asked_again_and_then_failed(fake_endpoint, chosen, make_row, work):
    bad = json.dumps({**REPLY, "used": [7]})
    fake_endpoint.program(text=TEXT, garbage=bad, script=["garbage", "ok"])
    assert label(chosen(), [two(make_row(0))], work)[0].answer == "no" and outcomes(fake_endpoint) == [
        "garbage",
        "ok",
    ]
    for bad in ("Yes.", "{half", '{"answer": "no"}', "[]", ""):
        fake_endpoint.program(text=TEXT, garbage=bad, share_garbage=1.0)
        (found,) = label(chosen({"max_attempts": 2}, max_failed=1.0), [two(make_row(len(bad) + 1))], work)
        assert (
            found.outcome == "failed" and found.answer is None and outcomes(fake_endpoint) == ["garbage"] * 2
        )


def test_a_failed_question_is_asked_again_by_the_same_command(fake_endpoint, chosen, make_row, work):
    fake_endpoint.program(text=TEXT, script=["400"] + ["ok"] * 9)
    asked = [two(make_row(i)) for i in range(10)]
    first = label(chosen(max_failed=0.1), asked, work)
    assert [one.outcome for one in first].count("failed") == 1
    assert (
        all(one.answer == "no" for one in label(chosen(), asked, work)) and len(outcomes(fake_endpoint)) == 11
    )


def test_too_many_failures_stop_and_are_named_as_the_labellers(fake_endpoint, chosen, make_row, work):
    fake_endpoint.program(text=TEXT, script=["ok"] * 5 + ["400"] * 99)
    asked = [two(make_row(i)) for i in range(30)]
    with pytest.raises(AskingStopped, match="conf.labeller.max_failed") as stopped:
        label(chosen({"limits": {"concurrency": 1}}), asked, work)
    assert stopped.value.exit_code == 1 and "conf.judge" not in str(stopped.value)
    fake_endpoint.program(text=TEXT)
    assert len(label(chosen(), asked, work)) == 30 and len(outcomes(fake_endpoint)) == 25


def test_a_cap_of_the_budget_stops_and_a_larger_one_goes_on(fake_endpoint, chosen, make_row, work):
    fake_endpoint.program(text=TEXT)
    asked = [two(make_row(i)) for i in range(6)]
    with pytest.raises(AskingStopped, match="conf.labeller.service.budget"):
        label(chosen({"budget": {"max_requests": 4}}), asked, work)
    assert len(outcomes(fake_endpoint)) == 4
    label(chosen({"budget": {"max_requests": 6}}), asked, work)
    assert len(outcomes(fake_endpoint)) == 6


def test_restricted_rows_are_refused_before_anything_is_sent(fake_endpoint, chosen, make_row, work):
    fake_endpoint.program(text=TEXT)
    asked = [two(make_row(0)), two(make_row(1, source="mimic_cxr"))]
    with pytest.raises(UserError, match="mimic_cxr.*conf.labeller.service.endpoint.local=true") as refused:
        label(chosen(), asked, work)
    assert "conf.judge" not in str(refused.value) and outcomes(fake_endpoint) == []
    assert len(label(chosen({"endpoint": {"local": True}}), asked, work)) == 2


def test_a_restricted_report_is_refused_for_any_k_before_anything_is_sent(
    fake_endpoint, chosen, make_row, work
):
    """The row itself may go; its third report may not, and k = 0 and 1 are not asked either."""
    fake_endpoint.program(text=TEXT)
    reports = {**REPORTS, "m": Report("m", "A restricted text.", "p1", restricted=True)}
    call = ([make_row(0)], {"0": ["r1", "r2", "m"]}, reports, [0, 1, 3], work)
    with pytest.raises(UserError, match=r"the reports \(m\).*conf.labeller.service.endpoint.covered=true"):
        answers_per_k(chosen(), *call)
    assert outcomes(fake_endpoint) == []
    fake_endpoint.program(text=json.dumps({**REPLY, "used": [1]}))
    with pytest.raises(AskingStopped):  # what names a report may not be said where there is none
        answers_per_k(chosen({"max_attempts": 1, "endpoint": {"covered": True}}), *call)
    assert len(outcomes(fake_endpoint)) == 1


def test_each_k_asks_with_its_reports_and_no_prompt_goes_twice(fake_endpoint, chosen, make_row, work, sent):
    """Rows with 3, 1 and 3 reports, k = 1, 2, 4: 3 + 2 + 2 prompts, since one report is all that the second row has."""
    fake_endpoint.program(text=json.dumps({**REPLY, "used": [1]}))
    rows = [make_row(i) for i in range(3)]
    retrieved = {"0": ["r1", "r2", "r3"], "1": ["r4"], "2": ["r3", "r2", "r1"]}
    found = answers_per_k(chosen(), rows, retrieved, REPORTS, [1, 2, 4], work)
    assert len(outcomes(fake_endpoint)) == 7 == len(sent)
    assert [[one.retrieved for one in labels] for labels in found.values()] == [
        [tuple(retrieved[row.id][:k]) for row in rows] for k in (1, 2, 4)
    ]
    assert [[one.id for one in labels] for labels in found.values()] == [["0", "1", "2"]] * 3
    # a further k asks for what is new alone; finished ones are read
    again = answers_per_k(chosen(), rows, retrieved, REPORTS, [1, 2, 3, 4], work)
    assert (
        {k: again[k] for k in found} == found and again[3] == again[4] and len(outcomes(fake_endpoint)) == 7
    )


PROGRAM = """
import json, pathlib, sys
import numpy as np
from medical_rl.images import encode_png
from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.pseudo_label.answering import answers_per_k
from medical_rl.data.reports import Report
from medical_rl.sample import Sample
settings, folder = json.loads(sys.argv[1]), pathlib.Path(sys.argv[2])
picture = encode_png(np.zeros((8, 8), dtype=np.uint8))
rows = [Sample(id=str(i), source="demo", question=f"Is it {i}?", kind="yes_no", answer="no", images=(picture,)) for i in range(20)]
reports = {f"r{n}": Report(f"r{n}", f"Text {n}.", f"s{n}") for n in range(2)}
found = answers_per_k(settings, rows, {row.id: ["r0", "r1"] for row in rows}, reports, [1, 2], RoundContext(1, 0, folder / "stage", folder, {}, {}))
print([sum(one.answer == "no" for one in labels) for labels in found.values()])
"""


def test_a_killed_stage_loses_nothing_and_asks_nothing_twice(fake_endpoint, chosen, tmp_path):
    """Killed after at least 26 of 40 requests, in the second k. What was under way is lost, the rest is kept."""
    at = {"timeout_s": 0.5}
    settings = chosen({"endpoint": at, "limits": {"concurrency": 4}})
    arguments = [sys.executable, "-c", PROGRAM, json.dumps(settings), str(tmp_path)]
    fake_endpoint.program(text=json.dumps({**REPLY, "used": []}), latency_s=0.2)
    first = subprocess.Popen(arguments)
    deadline = time.monotonic() + 90
    while len(outcomes(fake_endpoint)) < 28:
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    asked = len(outcomes(fake_endpoint))
    with sqlite3.connect(tmp_path / "judge" / "cache.sqlite") as cache:
        kept = cache.execute("SELECT COUNT(*) FROM answers").fetchone()[0]
        cache.execute(
            "UPDATE asking SET expires = 0"
        )  # its leases would run out by themselves, in half a minute
    with sqlite3.connect(tmp_path / "judge" / "ledger.sqlite") as ledger:
        ledger.execute("UPDATE leases SET expires = 0")
    assert 20 <= kept < 40 and asked < 40 and (tmp_path / "stage" / "k_1" / "labels.jsonl").is_file()
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip().splitlines()[-1] == "[20, 20]", done.stderr
    assert len(outcomes(fake_endpoint)) == asked + 40 - kept
    subprocess.run(arguments, capture_output=True, check=True, timeout=120)
    assert len(outcomes(fake_endpoint)) == asked + 40 - kept, "a third run reads both files"


def test_kept_answers_are_replayed_without_a_network(fake_endpoint, chosen, make_row, work, tmp_path):
    fake_endpoint.program(text=TEXT)
    asked = [two(make_row(i)) for i in range(3)]
    before = label(chosen(), asked, work)
    away = {
        "mode": "replay",
        "cache": str(tmp_path / "judge" / "cache.sqlite"),
        "endpoint": {"api_key_env": "NOT_SET"},
    }
    elsewhere = RoundContext(1, 0, tmp_path / "b", tmp_path / "b", {}, {})
    assert label(chosen(away), asked, elsewhere) == before and len(outcomes(fake_endpoint)) == 3


def test_a_missing_key_is_named_as_the_labellers(chosen, make_row, work, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(UserError, match="NO_SUCH_KEY.*conf.labeller.service.endpoint.api_key_env"):
        label(chosen({"endpoint": {"api_key_env": "NO_SUCH_KEY"}}), [two(make_row(0))], work)
