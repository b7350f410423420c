"""Several processes at one desk, as reward workers are: what the SERVER saw decides."""

import asyncio
import multiprocessing
import os
import signal
import time

from medical_rl.errors import JudgeFailed
from medical_rl.judges.desk.rules import Limits
from medical_rl.judges.desk.sqlite_desk import SqliteDesk
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.judge import Judge

PROCESSES = 8
forked = multiprocessing.get_context("fork")


def asks(folder, url, limits, answers, results, stop=None, **chosen):
    """One worker: asks about `answers` until all are told or `stop` is set, puts [(answer, verdict's reason or the failure's)]."""

    async def main():
        desk = SqliteDesk(folder / "ledger.sqlite", folder / "cache.sqlite", limits)
        judge = Judge(
            Endpoint(url, "fake", timeout_s=chosen.pop("timeout_s", 10.0)), desk, backoff_s=0.05, **chosen
        )
        said = []

        async def one(answer):
            try:
                said.append((answer, (await judge.consistency("q", "t", answer)).reason))
            except JudgeFailed as failed:
                said.append((answer, f"failed: {failed}"))

        tasks = [asyncio.create_task(one(answer)) for answer in answers]
        while not (stop and stop.is_set()) and not all(task.done() for task in tasks):
            await asyncio.wait(tasks, timeout=0.05)
        results.put(said)

    asyncio.run(main())


def together(folder, url, limits, shares, stop_when=None, **chosen):
    """What all workers of `shares` (one list of answers each) were told, after they worked at the same time.

    They stop a second after `stop_when()` is true, or when they have all answers.
    """
    results, stop = forked.Queue(), forked.Event()
    workers = [
        forked.Process(target=asks, args=(folder, url, limits, share, results, stop), kwargs=chosen)
        for share in shares
    ]
    for worker in workers:
        worker.start()
    if stop_when:
        wait_until(stop_when)
        time.sleep(1.0)
        stop.set()
    said = [row for _ in workers for row in results.get(timeout=90)]
    for worker in workers:
        worker.join(timeout=30)
    return said


def wait_until(true) -> None:
    """None, once `true()` holds; fails after half a minute."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, "waited for half a minute"
        time.sleep(0.02)


def answered_of(requests) -> list[str]:
    return [key for _, key, outcome, _ in requests if outcome == "ok"]


def test_eight_processes_never_pass_the_shared_concurrency_and_ask_nothing_twice(endpoint, tmp_path):
    server = endpoint(latency_s=0.05)
    # 400 questions in all, 200 different: each worker asks 25 of its own and 25 that all ask
    shares = [[f"{w}-{i}" for i in range(25)] + [f"all-{i}" for i in range(25)] for w in range(PROCESSES)]
    said = together(tmp_path, server.url, Limits(concurrency=12), shares)
    log = server.log()
    assert len(said) == 400 and not [s for s in said if s[1].startswith("failed")]
    assert len(log["requests"]) == len(set(answered_of(log["requests"]))) == 8 * 25 + 25
    assert log["most_busy"] <= 12, "as the server saw it"
    assert log["most_busy"] >= 10, "and the places were used"
    assert len({reason for answer, reason in said if answer == "all-3"}) == 1


def test_eight_processes_never_pass_the_shared_requests_a_minute(endpoint, tmp_path):
    server = endpoint()
    shares = [[f"{w}-{i}" for i in range(20)] for w in range(PROCESSES)]
    limits = Limits(concurrency=64, requests_per_minute=50)
    said = together(
        tmp_path, server.url, limits, shares, stop_when=lambda: len(server.log()["requests"]) >= 50
    )
    # 160 are wanted, and a minute holds 50: all of those go at once, none after
    assert len(server.log()["requests"]) == 50 == len(said)


def test_faults_lose_nothing_and_ask_nothing_twice(endpoint, tmp_path):
    server = endpoint(
        latency_s=0.02, share_429=0.05, share_hang=0.02, share_garbage=0.01, retry_after="0.1", seed=7
    )
    # 1,000 questions of which every other is a duplicate, over two workers that both ask some of the same
    answers = [str(i % 500) for i in range(1000)]
    said = together(
        tmp_path,
        server.url,
        Limits(concurrency=64),
        [answers[::2], answers[1::2]],
        timeout_s=1.0,
        max_attempts=8,
    )
    requests = server.log()["requests"]
    assert len(said) == 1000 and not [s for s in said if s[1].startswith("failed")]
    answered = answered_of(requests)
    assert len(answered) == len(set(answered)) == 500, "each different question was answered once"
    faults = {
        kind: sum(outcome == kind for *_, outcome, _ in requests) for kind in ("429", "hang", "garbage")
    }
    assert all(faults.values()), f"the faults did occur: {faults}"


def test_a_killed_process_blocks_the_others_no_longer_than_its_lease(endpoint, tmp_path, monkeypatch):
    from medical_rl.judges.requests import dispatcher

    monkeypatch.setattr(dispatcher, "GRACE_S", 0.5)
    server, limits = endpoint(latency_s=30), Limits(concurrency=4)
    kwargs = {"timeout_s": 1.0}
    victim = forked.Process(
        target=asks, args=(tmp_path, server.url, limits, list("abcd"), forked.Queue()), kwargs=kwargs
    )
    victim.start()
    wait_until(lambda: len(server.log()["requests"]) == 4)
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    server.program()
    start = time.monotonic()
    said = together(tmp_path, server.url, limits, [list("abcdefgh")], **kwargs)
    assert len(said) == 8 and not [s for s in said if s[1].startswith("failed")]
    assert time.monotonic() - start < 5


def test_a_process_that_comes_late_gets_its_share(endpoint, tmp_path):
    server, limits = endpoint(latency_s=0.05), Limits(concurrency=4)
    results, stop = forked.Queue(), forked.Event()
    many, few = [f"many-{i}" for i in range(600)], [f"few-{i}" for i in range(10)]
    first = forked.Process(target=asks, args=(tmp_path, server.url, limits, many, results, stop))
    first.start()
    wait_until(lambda: len(server.log()["requests"]) >= 8)
    assert len(together(tmp_path, server.url, limits, [few])) == 10
    # its share is 2 of 4 places, so it takes about as many turns as it gives; in a line behind 600 it would be last
    assert len(server.log()["requests"]) < 300
    stop.set()
    results.get(timeout=30)
    first.join(timeout=10)
