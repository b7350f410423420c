"""The judge against the plain openai client on a local fake endpoint, in the same run; the table goes to benchmarks/judge.md.

Layouts: one process, and four that share one desk, as a run's reward workers do. Every client has its connections open and its
code warm before the clock starts, since a run has them after its first step. The fake endpoint runs on the same cores.
"""

import asyncio
import json
import multiprocessing
import os
import statistics
import time

import pytest
import uvloop

from medical_rl.judges.desk.rules import Limits
from medical_rl.judges.desk.sqlite_desk import SqliteDesk
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.judge import Judge
from medical_rl.judges.messages import CONSISTENCY, consistency_messages, parse

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
CALLS, LATENCY_S, REPEATS, PROCESSES = 1000, 0.2, 3, 4
QUESTIONS = [str(i) for i in range(CALLS)]
GOAL = 1.15  # times the ideal
ROWS: list[str] = []
MISSED: list[str] = []
forked = multiprocessing.get_context("fork")


@pytest.fixture(scope="module", autouse=True)
def table(root):
    """Writes the table after the last measurement."""
    before = os.getloadavg()[0]
    yield
    (root / "benchmarks" / "judge.md").write_text(
        f"# Judge\n\n{CALLS:,} calls that take {LATENCY_S * 1000:.0f} ms at the endpoint, on {os.cpu_count()} cores which the fake "
        f"endpoint shares; {REPEATS} runs of each in turns, with new questions each time.\n"
        f"Ideal is {CALLS} x {LATENCY_S} s / concurrency. Load average before: {before:.1f}.\n\n"
        "| what | layout | best, s | median, s | ideal, s | best / ideal |\n|---|---|---|---|---|---|\n"
        + "\n".join(ROWS)
        + "\n\n"
        f"The goal is {GOAL} times the ideal; missed in this run: {'; '.join(MISSED) or 'nowhere'}.\n"
        "The bare client does nothing but send: no retries, cache, limits, budget or checks. It shows what these cores can do.\n"
        "Several processes share one desk, as a run's reward workers do. Written by `make bench`; read the ratios, not the seconds.\n"
    )


async def with_judge(url, folder, concurrency, answers, warm):
    """Seconds for `answers` by our judge; `warm` are asked before the clock starts."""
    desk = SqliteDesk(folder / "ledger.sqlite", folder / "cache.sqlite", Limits(concurrency=concurrency))
    judge = Judge(Endpoint(url, "fake"), desk)

    async def all_of(some):
        return await asyncio.gather(*(judge.consistency("q", "t", answer) for answer in some))

    await all_of(warm)
    yield
    assert len(await all_of(answers)) == len(answers)
    yield


async def with_plain_client(url, folder, concurrency, answers, warm):
    """The same by AsyncOpenAI and a semaphore, as most projects do it: no cache, no shared limit, no budget."""
    import openai

    client, places = (
        openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0),
        asyncio.Semaphore(concurrency),
    )

    async def one(answer):
        async with places:
            reply = await client.chat.completions.create(
                model="fake", messages=consistency_messages("q", "t", answer)
            )
        return parse(reply.choices[0].message.content, CONSISTENCY)

    await asyncio.gather(*(one(answer) for answer in warm))
    yield
    assert len(await asyncio.gather(*(one(answer) for answer in answers))) == len(answers)
    yield


async def with_bare_aiohttp(url, folder, concurrency, answers, warm):
    """The same by aiohttp alone, no client at all: about what this machine can do from Python."""
    import aiohttp

    places = asyncio.Semaphore(concurrency)

    async def one(session, answer):
        body = json.dumps({"model": "fake", "messages": consistency_messages("q", "t", answer)}).encode()
        async with places, session.post(f"{url}/chat/completions", data=body) as reply:
            return parse(json.loads(await reply.read())["choices"][0]["message"]["content"], CONSISTENCY)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(one(session, answer) for answer in warm))
        yield
        assert len(await asyncio.gather(*(one(session, answer) for answer in answers))) == len(answers)
        yield


def worker(how, url, folder, concurrency, calls, mark, barrier, results):
    """One process: warms up, waits for the others, measures."""

    async def main():
        warm = [f"warm {mark} {i}" for i in range(min(calls, concurrency))]
        steps = how(url, folder, concurrency, [f"{mark} {i}" for i in range(calls)], warm)
        await anext(steps)
        barrier.wait()
        start = time.time()
        await anext(steps)
        results.put((start, time.time()))
        await steps.aclose()

    uvloop.run(main())  # Ray's workers run on uvloop


def wall(how, url, folder, concurrency, processes, mark) -> float:
    """Seconds from the common start to the last worker's end."""
    barrier, results = forked.Barrier(processes), forked.Queue()
    # our desk shares the limit; the rivals can only split it
    each = concurrency if how is with_judge else concurrency // processes
    calls = CALLS // processes
    workers = [
        forked.Process(target=worker, args=(how, url, folder, each, calls, f"{mark} {i}", barrier, results))
        for i in range(processes)
    ]
    for one in workers:
        one.start()
    spans = [results.get(timeout=120) for _ in workers]
    for one in workers:
        one.join(timeout=30)
    return max(end for _, end in spans) - min(start for start, _ in spans)


RIVALS = {
    "medical_rl": with_judge,
    "AsyncOpenAI + semaphore": with_plain_client,
    "bare aiohttp + semaphore": with_bare_aiohttp,
}


@pytest.mark.parametrize(
    "concurrency, processes", [(64, 1), (64, PROCESSES), (256, 1), (256, 2), (256, PROCESSES)]
)
def test_a_thousand_calls(fake_endpoint, tmp_path, concurrency, processes):
    ideal = CALLS * LATENCY_S / concurrency
    walls = {name: [] for name in RIVALS}
    for repeat in range(REPEATS):  # in turns, so that all meet the same machine
        for name, how in RIVALS.items():
            fake_endpoint.program(latency_s=LATENCY_S)
            walls[name].append(wall(how, fake_endpoint.url, tmp_path, concurrency, processes, repeat))
            if how is with_judge:
                assert fake_endpoint.log()["most_busy"] <= concurrency, "the limit is shared"
    for name, measured in walls.items():
        best, median = min(measured), statistics.median(measured)
        layout = f"{concurrency} at once, {processes} process{'es' * (processes > 1)}"
        note(f"| {name} | {layout} | {best:.2f} | {median:.2f} | {ideal:.2f} | {best / ideal:.2f} |")
    if min(walls["medical_rl"]) > GOAL * ideal:
        MISSED.append(layout)
    ours, plain, bare = (min(measured) for measured in walls.values())
    assert ours < plain
    if concurrency == 64:  # at 256 a Python client needs more than two cores, as the bare one's row shows
        assert ours <= GOAL * max(ideal, bare)


def test_a_warm_cache(fake_endpoint, tmp_path):
    fake_endpoint.program()
    measured = []

    async def main():
        steps = with_judge(fake_endpoint.url, tmp_path, 64, QUESTIONS, QUESTIONS)
        await anext(steps)
        asked, start = len(fake_endpoint.log()["requests"]), time.perf_counter()
        await anext(steps)
        measured.append(time.perf_counter() - start)
        assert len(fake_endpoint.log()["requests"]) == asked, "nothing is asked again"

    for _ in range(REPEATS):
        uvloop.run(main())
    best, median = min(measured), statistics.median(measured)
    note(f"| medical_rl, all answers in the cache | 1 process | {best:.2f} | {median:.2f} | below 1 | - |")
    assert best < 1.0


def test_faults_lose_nothing_and_ask_nothing_twice(fake_endpoint, tmp_path):
    """5 % 429 (Retry-After 1 s), 2 % hangs (time-out 2 s), 1 % garbage, every question twice."""
    fake_endpoint.program(
        latency_s=LATENCY_S, share_429=0.05, share_hang=0.02, share_garbage=0.01, retry_after="1", seed=1
    )

    async def main():
        desk = SqliteDesk(tmp_path / "ledger.sqlite", tmp_path / "cache.sqlite", Limits(concurrency=64))
        judge = Judge(Endpoint(fake_endpoint.url, "fake", timeout_s=2.0), desk, max_attempts=8)
        asked = (judge.consistency("q", "t", str(i % (CALLS // 2))) for i in range(CALLS))
        return len(await asyncio.gather(*asked)), judge.totals()

    start = time.perf_counter()
    answers, totals = uvloop.run(main())
    took = time.perf_counter() - start
    seen = [outcome for _, _, outcome, _ in fake_endpoint.log()["requests"]]
    answered = [key for _, key, outcome, _ in fake_endpoint.log()["requests"] if outcome == "ok"]
    assert answers == CALLS and totals["failures"] == {}
    assert len(answered) == len(set(answered)) == CALLS // 2
    faults = ", ".join(f"{seen.count(kind)} {kind}" for kind in ("429", "hang", "garbage"))
    said = f"faults: {faults}; {CALLS} asked, {CALLS // 2} different, none lost, none answered twice"
    note(f"| medical_rl, {said} | 64 at once, 1 process | {took:.2f} | {took:.2f} | - | - |")


def note(row: str) -> None:
    """Keep a row of the table and show it."""
    ROWS.append(row)
    print(f"\n{row}", end="")
