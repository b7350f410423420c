"""The desk in files: known, asked, limits, budget, leases, damage; by a clock that the test turns."""

import asyncio
import multiprocessing
import pickle
import sqlite3

import pytest

from medical_rl.errors import UserError
from medical_rl.judges.desk.rules import Budget, CallRequest, CallResult, Grant, Limits
from medical_rl.judges.desk.sqlite_desk import SqliteDesk


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def desk(tmp_path, clock):
    """Makes desks of the same two files."""

    def make(limits=None, budget=None, ledger="ledger.sqlite") -> SqliteDesk:
        return SqliteDesk(tmp_path / ledger, tmp_path / "cache.sqlite", limits, budget, clock)

    return make


def wish(at: SqliteDesk, *keys: str, done=(), **wanted) -> list[Grant]:
    """One exchange."""
    return asyncio.run(
        at.exchange(list(done), [CallRequest(key, **{"owner": "a", **wanted}) for key in keys])
    )


def kinds(grants: list[Grant]) -> list[str]:
    return [grant.kind for grant in grants]


def test_an_answer_is_asked_for_once_and_then_known(desk):
    one, other = desk(), desk()
    first = wish(one, "k", "k")
    assert kinds(first) == ["go", "wait"], "twice in one exchange is asked once"
    assert kinds(wish(other, "k", owner="b")) == ["wait"], "nor does another process ask"
    wish(one, done=[CallResult("k", first[0].lease, "yes", "m", 100, 10, 0.5)])
    assert wish(other, "k", owner="b") == [Grant("known", text="yes")]
    totals = other.totals()
    assert (totals["requests"], totals["prompt_tokens"], totals["completion_tokens"], totals["cost"]) == (
        1,
        100,
        10,
        0.5,
    )
    assert totals["cache_hits"] == 1


def test_runs_that_share_a_cache_share_answers_and_questions_but_no_limits(desk):
    one, other = desk(Limits(concurrency=1)), desk(Limits(concurrency=1), ledger="another.sqlite")
    lease = wish(one, "k")[0].lease
    assert kinds(wish(other, "k", "other")) == ["wait", "go"]
    wish(one, done=[CallResult("k", lease, "yes")])
    assert kinds(wish(other, "k")) == ["known"]
    assert (one.totals()["requests"], other.totals()["requests"]) == (1, 1)


def test_a_failed_attempt_frees_its_place_and_its_question(desk):
    at = desk(Limits(concurrency=1))
    lease = wish(at, "k")[0].lease
    assert kinds(wish(at, "other")) == ["wait"]
    assert kinds(wish(at, "k", done=[CallResult("k", lease, error="429")])) == ["go"]
    assert at.totals()["faults"] == {"429": 1} and at.totals()["failures"] == {}


def test_the_lease_of_a_killed_process_runs_out_and_its_reservation_is_spent(desk, clock):
    at = desk(Limits(concurrency=1))
    lease = wish(at, "k", tokens=500, cost=0.1, lease_s=90)[0].lease
    clock.now += 89
    assert kinds(wish(at, "k")) == ["wait"]
    clock.now += 2
    assert kinds(wish(at, "k", owner="b")) == ["go"]
    totals = at.totals()
    assert (totals["requests"], totals["prompt_tokens"], totals["cost"]) == (2, 500, 0.1)
    assert totals["faults"] == {"expired": 1}
    # it was only slow: its answer is kept, and nothing is counted twice
    wish(at, done=[CallResult("k", lease, "late", "m", 400, 10, 0.1)])
    assert wish(at, "k") == [Grant("known", text="late")] and at.totals()["prompt_tokens"] == 500


def test_requests_of_any_minute(desk, clock):
    at = desk(Limits(requests_per_minute=3))
    assert kinds(wish(at, *"abcd")) == ["go", "go", "go", "wait"]
    clock.now += 61.9
    assert kinds(wish(at, "d")) == ["wait"]
    clock.now += 0.2
    assert kinds(wish(at, *"defg")) == ["go", "go", "go", "wait"]


def test_tokens_of_a_minute_are_corrected_when_a_call_is_settled(desk):
    at = desk(Limits(tokens_per_minute=1000))
    grants = wish(at, "a", "b", tokens=600)
    assert kinds(grants) == ["go", "wait"]
    assert kinds(wish(at, "b", tokens=600, done=[CallResult("a", grants[0].lease, "x", "m", 300, 20)])) == [
        "go"
    ]


def test_a_small_wish_does_not_overtake_a_large_one(desk):
    at = desk(Limits(tokens_per_minute=1000))
    wanted = [CallRequest("1", "a", 600), CallRequest("2", "a", 600), CallRequest("3", "a", 10)]
    assert kinds(asyncio.run(at.exchange([], wanted))) == ["go", "wait", "wait"]


def test_the_budget_outlives_the_process_and_failures_are_written_down(desk):
    assert kinds(wish(desk(budget=Budget(max_requests=2)), *"abc")) == ["go", "go", "refused"]
    again = desk(budget=Budget(max_requests=2))
    assert kinds(wish(again, "d")) == ["refused"]
    assert again.totals()["failures"] == {"budget": 2}
    assert kinds(wish(desk(budget=Budget(max_requests=3)), "d")) == ["go"], "a raised cap goes on"


def test_a_replay_only_reads(desk):
    at = desk()
    lease = wish(at, "k")[0].lease
    wish(at, done=[CallResult("k", lease, "yes")])
    known, missing = wish(at, "k", "new", live=False)
    assert known == Grant("known", text="yes")
    assert (missing.kind, missing.reason) == ("refused", "missing") and "new" in missing.text


@pytest.mark.parametrize("which", ["ledger.sqlite", "cache.sqlite"])
@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 4080])
def test_a_damaged_file_is_named_and_left_as_it_is(desk, tmp_path, which, content):
    (tmp_path / which).write_bytes(content)
    with pytest.raises(UserError, match=f"{which} is not a usable sqlite file"):
        desk()
    assert (tmp_path / which).read_bytes() == content


def test_damage_in_the_middle_is_found_when_it_is_met(desk, tmp_path):
    at = desk()
    grants = wish(at, *(str(i) for i in range(200)))
    wish(at, done=[CallResult(str(i), grant.lease, "x" * 2000) for i, grant in enumerate(grants)])
    del at
    with sqlite3.connect(tmp_path / "cache.sqlite") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray((tmp_path / "cache.sqlite").read_bytes())
    content[8192:-4096] = b"\xff" * (len(content) - 8192 - 4096)
    (tmp_path / "cache.sqlite").write_bytes(content)
    with pytest.raises(UserError, match="cache.sqlite is not a usable sqlite file"):
        wish(desk(), *(str(i) for i in range(200)))


def test_a_file_of_another_version_is_refused(desk, tmp_path):
    with sqlite3.connect(tmp_path / "cache.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="cache.sqlite was written by another version"):
        desk()


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="conf.judge.cache"):
        SqliteDesk(tmp_path / "ledger.sqlite", tmp_path / "file" / "cache.sqlite")


@pytest.mark.parametrize("which", ["ledger.sqlite", "cache.sqlite"])
def test_a_lock_held_elsewhere_is_waited_for_without_blocking_the_loop(desk, tmp_path, which):
    at = desk()
    other = sqlite3.connect(tmp_path / which, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def main():
        waiting = asyncio.create_task(at.exchange([], [CallRequest("k", "a")]))
        for _ in range(20):  # the loop turns while the lock is held
            await asyncio.sleep(0.005)
        assert not waiting.done()
        if which == "cache.sqlite":  # and the other file is not kept locked meanwhile
            with sqlite3.connect(tmp_path / "ledger.sqlite", timeout=1) as ledger:
                ledger.execute("BEGIN IMMEDIATE")
            ledger.close()
        other.execute("ROLLBACK")
        return await waiting

    assert kinds(asyncio.run(main())) == ["go"]


def test_what_crosses_the_desk_can_be_sent_to_another_process():
    for record in (
        CallRequest("k", "a"),
        CallResult("k", "l", "x"),
        Grant("go", lease="l"),
        Limits(3),
        Budget(5),
    ):
        assert pickle.loads(pickle.dumps(record)) == record


def test_many_processes_may_make_the_files_at_once(tmp_path):
    forked = multiprocessing.get_context("fork")
    barrier = forked.Barrier(8)

    def make(folder):
        barrier.wait()
        SqliteDesk(folder / "ledger.sqlite", folder / "cache.sqlite")

    for attempt in range(3):
        workers = [forked.Process(target=make, args=(tmp_path / str(attempt),)) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(timeout=30)
        assert [worker.exitcode for worker in workers] == [0] * 8


@pytest.mark.parametrize("back_s", [3600.0, 7200.0])
def test_a_clock_that_goes_back_holds_nobody_up_longer_than_a_lease(desk, clock, back_s):
    clock.now = 1e9
    one = desk(Limits(concurrency=2, requests_per_minute=10))
    assert kinds(wish(one, "lost", "lost too", owner="killed", lease_s=90.0)) == ["go", "go"]
    assert kinds(wish(one, "new")) == ["wait"], "both places are taken"
    clock.now -= back_s  # an NTP step, a virtual machine that was resumed
    assert kinds(wish(one, "new", "lost")) == ["wait", "wait"], "the leases still hold"
    clock.now += 91
    assert kinds(wish(one, "new", "lost")) == ["go", "go"]


def test_the_minute_of_before_the_clock_went_back_still_counts_for_a_minute(desk, clock):
    clock.now = 1e9
    one = desk(Limits(requests_per_minute=2))
    for key in ("a", "b"):
        wish(one, done=[CallResult(key, wish(one, key)[0].lease, "yes")])
    clock.now -= 3600
    assert kinds(wish(one, "c")) == ["wait"], "no more than two in any minute"
    clock.now += 63
    assert kinds(wish(one, "c", "d", "e")) == ["go", "go", "wait"]
