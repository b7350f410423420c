"""The judge against the plain openai client on a local fake endpoint, in the same run; the table goes to benchmarks/judge.md.

Layouts: one process, and four that share one desk, as a run's reward workers do. Every client has its connections open and its
code warm before the clock starts, since a run has them after its first step. The fake endpoint runs on the same cores.
"""

import asyncio
import multiprocessing
import os
import statistics
import time

import pytest

from medical_rl.judges.client import Judge
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.limits import Limits
from medical_rl.judges.messages import consistency_messages
from medical_rl.judges.sqlite_desk import SqliteDesk
from medical_rl.judges.verdict import CONSISTENCY, parse

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
CALLS, LATENCY_S, REPEATS, PROCESSES = 1000, 0.2, 3, 4
ROWS: list[str] = []
forked = multiprocessing.get_context("fork")


@pytest.fixture(scope="module", autouse=True)
def table(root):
    """Writes the table after the last measurement."""
    yield
    (root / "benchmarks" / "judge.md").write_text(
        f"# Judge\n\n{CALLS:,} calls that take {LATENCY_S * 1000:.0f} ms at the endpoint, on {os.cpu_count()} cores which the fake "
        f"endpoint shares; median of {REPEATS} runs, each with new questions.\nIdeal is {CALLS} x {LATENCY_S} s / concurrency.\n\n"
        "| what | layout | seconds | ideal | times ideal |\n|---|---|---|---|---|\n" + "\n".join(ROWS) + "\n\n"
        "Written by `make bench`; read the ratios, not the seconds.\n"
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

    client, places = openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0), asyncio.Semaphore(concurrency)

    async def one(answer):
        async with places:
            reply = await client.chat.completions.create(model="fake", messages=consistency_messages("q", "t", answer))
        return parse(reply.choices[0].message.content, CONSISTENCY)

    await asyncio.gather(*(one(answer) for answer in warm))
    yield
    assert len(await asyncio.gather(*(one(answer) for answer in answers))) == len(answers)
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

    asyncio.run(main())


def seconds(how, url, folder, concurrency, processes) -> float:
    """Wall seconds from the common start to the last worker's end; the median of REPEATS."""
    walls = []
    for repeat in range(REPEATS):
        barrier, results = forked.Barrier(processes), forked.Queue()
        # our desk shares the limit; the rival can only split it
        each = concurrency if how is with_judge else concurrency // processes
        workers = [
            forked.Process(
                target=worker, args=(how, url, folder, each, CALLS // processes, f"{repeat} {i}", barrier, results)
            )
            for i in range(processes)
        ]
        for one in workers:
            one.start()
        spans = [results.get(timeout=120) for _ in workers]
        for one in workers:
            one.join(timeout=30)
        walls.append(max(end for _, end in spans) - min(start for start, _ in spans))
    return statistics.median(walls)


@pytest.mark.parametrize("concurrency, processes", [(64, 1), (256, 1), (256, PROCESSES)])
def test_a_thousand_calls(fake_endpoint, tmp_path, concurrency, processes):
    fake_endpoint.program(latency_s=LATENCY_S)
    ideal = CALLS * LATENCY_S / concurrency
    layout = f"{concurrency} at once, {processes} process{'es' * (processes > 1)}"
    ours = seconds(with_judge, fake_endpoint.url, tmp_path, concurrency, processes)
    assert fake_endpoint.log()["most_busy"] <= concurrency
    plain = seconds(with_plain_client, fake_endpoint.url, tmp_path, concurrency, processes)
    for name, wall in (("medical_rl", ours), ("AsyncOpenAI + semaphore", plain)):
        ROWS.append(f"| {name} | {layout} | {wall:.2f} | {ideal:.2f} | {wall / ideal:.2f} |")
        print("\n" + ROWS[-1], end="")
    assert ours < plain
