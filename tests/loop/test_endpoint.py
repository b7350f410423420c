"""The endpoint generator against the fake endpoint: kept answers, draws, failures, limits, restricted rows."""

import asyncio
import dataclasses
import json
import signal
import subprocess
import sys
import time

import pytest

from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.errors import UserError
from medical_rl.judges.judge import AskingStopped, Judge
from medical_rl.loop.generators import models

ONE = {
    "question": "Which side?",
    "options": ["left", "right"],
    "rationale": "It lies there.",
    "answer": "left",
}
TEXT = json.dumps(
    {
        "notes": "A disc.",
        "triplets": [ONE, {**ONE, "question": "Is there a disc?", "options": None, "answer": "yes"}],
    }
)


@pytest.fixture
def server(fake_endpoint):
    return fake_endpoint


@pytest.fixture
def propose(server, settings, tmp_path):
    """Proposals of the endpoint generator, its ledger and kept answers in one folder for the test."""

    def make(rows, round=1, service=None, **changes):
        service = dict(service or {})
        at = {
            "base_url": server.url,
            "model": "fake",
            "api_key_env": None,
            "timeout_s": 5,
            **service.pop("endpoint", {}),
        }
        chosen = settings("gemini", service={"backoff_s": 0.01, **service, "endpoint": at}, **changes)
        return models.propose_by_endpoint(
            chosen, rows, RoundContext(round, 0, tmp_path / f"round_{round}", tmp_path, {}, {})
        )

    return make


def requests(server):
    return [outcome for _, _, outcome, _ in server.log()["requests"]]


def test_each_image_is_asked_about_once_and_its_triplets_are_its_own(server, propose, make_row):
    server.program(text=TEXT)
    rows = [make_row(i) for i in range(7)]
    found = propose(rows)
    assert requests(server) == ["ok"] * 7 and not found.bad_replies
    assert [(row.id, t.answer) for row, t in found.pairs] == [
        (str(i), a) for i in range(7) for a in ("left", "yes")
    ]
    assert "fake: 7 requests" in found.notes[0]


def test_what_is_sent_is_the_prompt_with_the_image_and_nothing_of_the_row(
    server, propose, make_row, monkeypatch
):
    server.program(text=TEXT)
    sent, ask = [], Judge.ask

    async def noted(self, messages, schema, images=(), *rest, **options):
        sent.append((messages, schema, images, self.endpoint))
        return await ask(self, messages, schema, images, *rest, **options)

    monkeypatch.setattr(Judge, "ask", noted)
    row = make_row(1, question="SECRET-Q", answer="SECRET-A", knowledge="SECRET-K")
    propose([row]), propose([row], tell_facts=True)
    (messages, schema, images, at), (told, *_) = sent
    assert images == row.images and "SECRET" not in str(messages) and "<image>" not in str(messages)
    assert [turn["role"] for turn in messages] == ["system", "user"] and "notes" in schema["properties"]
    assert (at.temperature, at.max_tokens) == (0.8, 2048)
    assert all(secret in str(told) for secret in ("SECRET-Q", "SECRET-A", "SECRET-K"))


def test_the_same_round_asks_nothing_again_and_another_round_asks_anew(server, propose, make_row):
    server.program(text=TEXT)
    rows = [make_row(i) for i in range(4)]
    first = propose(rows)
    assert [t for _, t in propose(rows).pairs] == [t for _, t in first.pairs] and len(requests(server)) == 4
    propose(rows, round=2)
    assert len(requests(server)) == 8, "another draw of the same prompt about the same image"
    propose(rows, round=2), propose(rows)
    assert len(requests(server)) == 8


def test_several_replies_an_image_are_several_draws(server, propose, make_row):
    server.program(text=TEXT)
    rows = [make_row(i) for i in range(3)]
    assert len(propose(rows, per_image=4, per_reply=2).pairs) == 3 * 2 * 2
    assert len(requests(server)) == 6
    propose(rows, round=2, per_image=4, per_reply=2)
    assert len(requests(server)) == 12


def test_replies_that_are_no_triplets_are_tried_again_and_then_counted(server, propose, make_row):
    server.program(text=TEXT, garbage="Here are your questions!", script=["garbage"] * 3 + ["ok"] * 9)
    found = propose([make_row(0)], service={"max_attempts": 5})
    assert len(found.pairs) == 2 and not found.bad_replies and requests(server) == ["garbage"] * 3 + ["ok"]
    server.program(text=TEXT, garbage='{"triplets": [{"question": "?"}]}', share_garbage=1.0)
    found = propose([make_row(1)], service={"max_attempts": 2}, max_failed=1.0)
    assert found.bad_replies == {"garbage": 1} and not found.pairs and requests(server) == ["garbage"] * 2


def test_the_allowed_share_of_replies_may_fail(server, propose, make_row):
    server.program(text=TEXT, script=["400"] + ["ok"] * 9)
    found = propose([make_row(i) for i in range(10)], max_failed=0.1)
    assert found.bad_replies == {"400": 1} and len({row.id for row, _ in found.pairs}) == 9


def test_a_larger_share_of_failures_stops_and_what_was_answered_is_kept(server, propose, make_row):
    server.program(text=TEXT, script=["ok"] * 5 + ["400"] * 99)
    rows = [make_row(i) for i in range(30)]
    with pytest.raises(AskingStopped, match="conf.generator.max_failed") as stopped:
        propose(rows, service={"limits": {"concurrency": 1}})
    assert (
        stopped.value.exit_code == 1
        and "5 of 30" in str(stopped.value)
        and "conf.rewards" not in str(stopped.value)
    )
    server.program(text=TEXT)
    assert len(propose(rows).pairs) == 60 and len(requests(server)) == 25


def test_a_cap_of_the_budget_stops_and_a_larger_one_goes_on(server, propose, make_row):
    server.program(text=TEXT)
    rows = [make_row(i) for i in range(6)]
    with pytest.raises(AskingStopped, match="conf.generator.service.budget"):
        propose(rows, service={"budget": {"max_requests": 4}})
    assert len(requests(server)) == 4
    # the ledger is one for all rounds: 4 are spent, so 8 leave room for the 2 that are missing and 2 of the next round
    propose(rows, service={"budget": {"max_requests": 8}})
    assert len(requests(server)) == 6
    with pytest.raises(AskingStopped):
        propose(rows, round=2, service={"budget": {"max_requests": 8}})
    assert len(requests(server)) == 8


def test_restricted_rows_are_refused_before_anything_is_sent(server, propose, make_row):
    server.program(text=TEXT)
    rows = [make_row(0), make_row(1), make_row(2, source="mimic_cxr")]
    with pytest.raises(UserError, match="mimic_cxr.*conf.generator.service.endpoint.local=true") as refused:
        propose(rows)
    assert "conf.judge" not in str(refused.value) and requests(server) == []
    assert len(propose(rows, service={"endpoint": {"local": True}}).pairs) == 6


def test_a_missing_key_is_named_as_the_generators(server, propose, make_row, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(UserError, match="NO_SUCH_KEY.*conf.generator.service.endpoint.api_key_env"):
        propose([make_row(0)], service={"endpoint": {"api_key_env": "NO_SUCH_KEY"}})


def test_without_a_temperature_it_is_refused(server, propose, make_row):
    with pytest.raises(UserError, match="conf.generator.temperature"):
        propose([make_row(0)], temperature=0.0)


def test_kept_answers_are_replayed_without_a_network(server, propose, make_row):
    server.program(text=TEXT)
    rows = [make_row(i) for i in range(3)]
    before = propose(rows)
    away = {"mode": "replay", "cache": None}
    assert propose(rows, service=away).pairs == before.pairs and len(requests(server)) == 3
    with pytest.raises(AskingStopped, match="missing"):
        propose([make_row(9)], service=away)


PROGRAM = """
import json, sys
from pathlib import Path
from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.loop.generators import models
from medical_rl.tiny import phantoms
rows = list(phantoms.rows(None, "train", task="vqa", sizes={"train": 40}))
folder = Path(sys.argv[2])
found = models.propose_by_endpoint(json.loads(sys.argv[1]), rows, RoundContext(1, 0, folder, folder, {}, {}))
print(len(found.pairs), dict(found.bad_replies))
"""


def test_a_killed_round_asks_only_what_is_missing(server, settings, tmp_path, monkeypatch):
    """Killed after at least 10 of 40 replies. What was under way is lost and is waited for no longer than its lease."""
    at = {"base_url": server.url, "model": "fake", "api_key_env": None, "timeout_s": 0.5}
    service = {"backoff_s": 0.01, "endpoint": at, "limits": {"concurrency": 4}}
    arguments = [
        sys.executable,
        "-c",
        PROGRAM,
        json.dumps(settings("gemini", service=service)),
        str(tmp_path),
    ]
    server.program(text=TEXT, latency_s=0.2)
    first = subprocess.Popen(arguments)
    deadline = time.monotonic() + 60
    while len(requests(server)) < 16:
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    asked = len(requests(server))
    assert asked < 40, "it was killed on its way"
    kept = kept_answers(tmp_path)
    assert asked - 12 <= kept < asked  # 4 under way, and those whose settlement was waited for
    forget_leases(tmp_path)
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert done.stdout.split("\n")[0] == "80 {}", done.stderr
    assert len(requests(server)) == asked + 40 - kept


def kept_answers(folder):
    import sqlite3

    with sqlite3.connect(folder / "judge" / "cache.sqlite") as cache:
        return cache.execute("SELECT COUNT(*) FROM answers").fetchone()[0]


def forget_leases(folder):
    """Lets the killed process's leases run out at once: it would take half a minute."""
    import sqlite3

    with sqlite3.connect(folder / "judge" / "cache.sqlite") as cache:
        cache.execute("UPDATE asking SET expires = 0")
    with sqlite3.connect(folder / "judge" / "ledger.sqlite") as ledger:
        ledger.execute("UPDATE leases SET expires = 0")


def test_the_number_of_a_draw_is_part_of_the_key_and_moves_a_seed(server, settings, tmp_path):
    """Of one judge: draws 0, 1 and 2 are three requests; with a seed, three different ones."""
    from medical_rl.judges.judge import from_config

    server.program(text=TEXT)
    schema = {"type": "object"}

    def ask(folder, **at):
        service = settings(
            "gemini",
            service={"endpoint": {"base_url": server.url, "model": "fake", "api_key_env": None, **at}},
        )
        judge = from_config(service["service"], folder)

        async def all_draws():
            for draw in (0, 1, 2, 1, 0):
                await judge.ask([{"role": "user", "content": "?"}], schema, draw=draw)
            await judge.ask([{"role": "user", "content": "?"}], schema)

        asyncio.run(all_draws())
        return [body for _, body, _, _ in server.log()["requests"]]

    assert len(set(ask(tmp_path / "a"))) == 1 and len(requests(server)) == 3
    server.program(text=TEXT)
    assert len(set(ask(tmp_path / "b", seed=7))) == 3 == len(requests(server))


def test_an_image_of_several_rows_would_be_asked_about_once(server, propose, make_row):
    """`generate` asks for one row an image; were two given, they would share the reply."""
    server.program(text=TEXT)
    rows = [make_row(1), dataclasses.replace(make_row(1), id="2")]
    assert len(propose(rows).pairs) == 4 and len(requests(server)) == 1
