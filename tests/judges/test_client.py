"""Judge against the fake endpoint: answers, duplicates, retries, failures, loops, cancellation, budget."""

import asyncio
import concurrent.futures
import dataclasses
import email.utils
import gc
import json
import pickle
import time

import numpy as np
import pytest

from medical_rl.errors import BudgetMet, JudgeFailed, RewardFailed, UserError
from medical_rl.images import encode_png
from medical_rl.judges.desk.rules import Budget, Limits
from medical_rl.judges.judge import with_images
from medical_rl.judges.messages import Verdict


def ask(judge, *answers, **options):
    """The verdicts (or exceptions) of several answers asked about at once."""

    async def main():
        asked = [judge.consistency("q", "t", answer, **options) for answer in answers]
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(main())


async def until_sent(server, count: int) -> None:
    """Wait until the server has seen `count` requests, and a moment longer for those that should not come."""
    while len(outcomes(server)) < count:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)


def outcomes(server) -> list[str]:
    return [outcome for _, _, outcome, _ in server.log()["requests"]]


def test_each_question_gets_its_own_answer_and_equal_ones_are_asked_once(endpoint, judge):
    server, one = endpoint(), judge()
    answers = [str(i % 20) for i in range(60)]
    verdicts = ask(one, *answers)
    assert all(isinstance(v, Verdict) and v.verdict == "sound" for v in verdicts)
    # the fake's reason is the hash of the request's body
    assert len({v.reason for v in verdicts}) == 20 and len(server.log()["requests"]) == 20
    assert all(v == verdicts[i % 20] for i, v in enumerate(verdicts))
    assert one.totals()["requests"] == 20 and one.totals()["cache_hits"] == 40
    assert ask(one, *answers) == verdicts and len(server.log()["requests"]) == 20
    assert one.totals()["cache_hits"] == 100


def test_what_makes_another_question(endpoint, judge):
    endpoint()
    picture, other = (encode_png(np.full((4, 4), grey, np.uint8)) for grey in (0, 9))
    one = judge()
    (
        ask(one, "a"),
        ask(one, "a", images=[picture]),
        ask(one, "a", images=[other]),
        ask(one, "a", images=[picture, other]),
    )
    ask(judge(settings={"temperature": 0.7}), "a"), ask(judge(max_image_side=2), "a", images=[picture])
    assert one.totals()["requests"] == 6 and one.totals()["cache_hits"] == 0


def test_any_schema_can_be_asked_for_and_askers_do_not_share_an_object(endpoint, judge):
    endpoint(text='{"grades": [1, 2]}')
    schema = {"type": "object", "properties": {"grades": {"type": "array"}}, "required": ["grades"]}

    async def main():
        one = judge()
        first, second = await asyncio.gather(
            *(one.ask([{"role": "user", "content": "?"}], schema) for _ in range(2))
        )
        first["grades"].append(3)
        return second

    assert asyncio.run(main()) == {"grades": [1, 2]}


@pytest.mark.parametrize("fault", ["429", "500", "503", "408", "garbage", "drop"])
def test_a_passing_fault_is_tried_again(endpoint, judge, fault):
    server, one = endpoint(script=[fault, fault]), judge()
    assert ask(one, "a")[0].verdict == "sound"
    assert outcomes(server) == [fault, fault, "ok"]
    assert sum(one.totals()["faults"].values()) == 2 and one.totals()["failures"] == {}


def test_a_hanging_call_is_given_up_in_time_and_tried_again(endpoint, judge):
    server, one = endpoint(script=["hang"]), judge(settings={"timeout_s": 0.3})
    start = time.monotonic()
    assert ask(one, "a")[0].verdict == "sound"
    assert 0.3 <= time.monotonic() - start < 2 and outcomes(server) == ["hang", "ok"]
    assert one.totals()["faults"] == {"timeout": 1} and server.log()["busy"] == 0


def in_a_second() -> str:
    return email.utils.formatdate(time.time() + 2, usegmt=True)  # whole seconds: at least one from now


@pytest.mark.parametrize("said, least", [("0.6", 0.6), (in_a_second, 0.9)])
def test_retry_after_is_honoured_as_seconds_and_as_a_date(endpoint, judge, said, least):
    server = endpoint(script=["429"], retry_after=said() if callable(said) else said)
    assert ask(judge(), "a")[0].verdict == "sound"
    first, second = (at for at, *_ in server.log()["requests"])
    assert second - first >= least


@pytest.mark.parametrize("fault", ["400", "401"])
def test_what_no_attempt_can_mend_fails_at_once(endpoint, judge, fault):
    server, one = endpoint(script=[fault]), judge()
    (failed,) = ask(one, "a")
    assert isinstance(failed, JudgeFailed) and isinstance(failed, RewardFailed) and failed.reason == fault
    assert outcomes(server) == [fault] and one.totals()["failures"] == {fault: 1}


def test_a_redirect_is_not_followed_as_the_key_and_the_images_are_for_one_address(endpoint, judge):
    server = endpoint(script=["302"])
    (failed,) = ask(judge(), "a")
    assert failed.reason == "302" and outcomes(server) == ["302"]


def test_no_proxy_of_the_environment_is_honoured(endpoint, judge, monkeypatch):
    server = endpoint()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert ask(judge(), "a")[0].verdict == "sound" and outcomes(server) == ["ok"]


def test_a_pause_of_many_minutes_is_not_sat_out(endpoint, judge):
    server = endpoint(script=["429"], retry_after="3600")
    (failed,) = ask(judge(), "a")
    assert failed.reason == "429" and "3600 s" in str(failed) and len(outcomes(server)) == 1


@pytest.mark.parametrize("fault, reason", [("garbage", "garbage"), ("500", "500"), ("drop", "connection")])
def test_after_the_last_attempt_the_judgement_fails_with_its_reason_and_is_no_score(
    endpoint, judge, fault, reason
):
    server, one = endpoint(script=[fault] * 3), judge(max_attempts=3)
    (failed,) = ask(one, "a")
    assert isinstance(failed, JudgeFailed) and failed.reason == reason and "after 3 attempts" in str(failed)
    assert len(outcomes(server)) == 3
    assert one.totals()["failures"] == {reason: 1} and one.totals()["faults"] == {reason: 2}
    assert ask(one, "a")[0].verdict == "sound", "a failure is not kept: the next asker asks anew"
    assert str(pickle.loads(pickle.dumps(failed))) == str(failed)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/v1", "https://127.0.0.1:9/v1"])
def test_an_endpoint_that_is_not_there_is_named(judge, address):
    one = judge(max_attempts=2)
    one.endpoint = dataclasses.replace(one.endpoint, base_url=address)
    (failed,) = ask(one, "a")
    assert failed.reason == "connection" and f"{address} cannot be reached" in str(failed)


def test_a_proxy_of_the_environment_is_used(endpoint, judge, monkeypatch):
    server = endpoint()  # any address is answered, so it serves as the proxy
    monkeypatch.setenv("http_proxy", server.origin)
    one = judge()
    one.endpoint = dataclasses.replace(one.endpoint, base_url="http://judge.invalid/v1")
    assert ask(one, "a")[0].verdict == "sound" and outcomes(server) == ["ok"]


def test_an_answer_cut_short_or_without_text_is_garbage(endpoint, judge):
    endpoint(text='{"verdict": "sound", "reason": "cut off in the mid')
    (failed,) = ask(judge(max_attempts=1), "a")
    assert failed.reason == "garbage"


def test_paid_garbage_counts_and_unpaid_refusals_do_not(endpoint, judge):
    endpoint(script=["garbage", "429", "ok"], usage=[100, 10])
    one = judge(settings={"prices": {"prompt": 1.0, "completion": 10.0}})
    ask(one, "a")
    # two answered requests: 200 prompt and 20 completion tokens, 200 x 1e-6 + 20 x 10e-6 = 0.0004
    totals = one.totals()
    assert (totals["requests"], totals["prompt_tokens"], totals["completion_tokens"]) == (3, 200, 20)
    assert totals["cost"] == pytest.approx(0.0004)


def test_the_budget_is_never_passed_and_says_so(endpoint, judge):
    server, one = endpoint(), judge(budget=Budget(max_requests=7))
    results = ask(one, *(str(i) for i in range(20)))
    met = [r for r in results if isinstance(r, BudgetMet)]
    assert len(met) == 13 and len(outcomes(server)) == 7
    assert "max_requests=7 is met" in str(met[0]) and one.totals()["failures"] == {"budget": 13}


def test_a_cost_cap_holds_with_many_calls_under_way(endpoint, judge):
    # 100 + 10 tokens at 1 a token: 110 a call. About 2,500 is reserved a call, so at most 24 go at once, and the last ones are
    # refused when less than that is left: between 57,000 and 60,000 is spent.
    endpoint(latency_s=0.02)
    one = judge(
        Limits(concurrency=50), Budget(max_cost=60_000), {"prices": {"prompt": 1e6, "completion": 1e6}}
    )
    results = ask(one, *(str(i) for i in range(1500)))
    assert 57_000 < one.totals()["cost"] <= 60_000
    assert sum(isinstance(r, BudgetMet) for r in results) == 1500 - one.totals()["requests"]


def test_concurrency_is_kept_by_one_process(endpoint, judge):
    server = endpoint(latency_s=0.02)
    ask(judge(Limits(concurrency=5)), *(str(i) for i in range(50)))
    assert server.log()["most_busy"] == 5


def test_one_judge_serves_several_event_loops_one_after_the_other(endpoint, judge, caplog):
    server, one = endpoint(), judge()
    assert ask(one, "a") == ask(one, "a") and ask(one, "b")[0].verdict == "sound"
    assert len(outcomes(server)) == 2 and len(one._dispatchers) == 1, "queues of ended loops are let go"
    gc.collect()
    assert "Unclosed" not in caplog.text, "connections end with their loop"


def test_event_loops_in_several_threads_share_one_judge(endpoint, judge):
    server, one = endpoint(latency_s=0.02), judge(Limits(concurrency=3))
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        told = list(threads.map(lambda _: ask(one, *(str(i) for i in range(30))), range(4)))
    assert all(verdicts == told[0] for verdicts in told) and all(v.verdict == "sound" for v in told[0])
    assert len(outcomes(server)) == 30 and server.log()["most_busy"] <= 3


def test_an_asker_that_goes_away_leaves_the_others_their_answer(endpoint, judge):
    server, one = endpoint(latency_s=0.1), judge()

    async def main():
        leaving, staying = (asyncio.create_task(one.consistency("q", "t", "a")) for _ in range(2))
        await asyncio.sleep(0.03)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return await staying

    assert asyncio.run(main()).verdict == "sound" and len(outcomes(server)) == 1


def test_a_cancelled_queue_is_never_sent_and_a_cancelled_run_gives_its_leases_back(endpoint, judge):
    server, one = endpoint(latency_s=30), judge(Limits(concurrency=2))

    async def main():
        tasks = [asyncio.create_task(one.consistency("q", "t", str(i))) for i in range(10)]
        await until_sent(server, 2)
        for task in tasks:
            task.cancel()

    asyncio.run(main())
    assert len(outcomes(server)) == 2
    endpoint()
    assert all(v.verdict == "sound" for v in ask(one, *(str(i) for i in range(10)))), (
        "no lease blocks the next run"
    )
    assert one.totals()["faults"] == {"cancelled": 2}


def test_grants_not_yet_sent_are_given_back_too(endpoint, judge):
    server, one = endpoint(latency_s=30), judge(Limits(concurrency=2))

    async def main():
        tasks = [asyncio.create_task(one.consistency("q", "t", str(i))) for i in range(3)]
        await until_sent(server, 2)
        dispatcher = one._dispatcher()
        first = next(iter(dispatcher.queue.open.values()))
        dispatcher.granted.append((first, "a lease about to be used"))
        for task in tasks:
            task.cancel()

    asyncio.run(main())
    assert len(outcomes(server)) == 2, "a cancelled call takes up no further grant"
    assert one.totals()["faults"] == {"cancelled": 3}


def test_a_missing_key_reaches_the_asker(judge, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    (broken,) = ask(judge(settings={"api_key_env": "NO_SUCH_KEY"}), "a")
    assert isinstance(broken, UserError) and "NO_SUCH_KEY" in str(broken)


def test_a_question_that_cannot_be_made_holds_nobody_up(endpoint, judge):
    endpoint()

    async def main():
        one = judge()
        broken = [one.ask([{"role": "user", "content": object()}], {"type": "object"}) for _ in range(300)]
        assert all(isinstance(b, TypeError) for b in await asyncio.gather(*broken, return_exceptions=True))
        return await one.consistency("q", "t", "a")

    assert asyncio.run(main()).verdict == "sound"


def test_a_broken_image_and_a_broken_desk_reach_the_asker(endpoint, judge, tmp_path):
    endpoint()
    one = judge()
    (broken,) = ask(one, "a", images=[b"no image"])
    assert isinstance(broken, UserError) and "as an image" in str(broken)
    del one.desk._open.connection, one.desk._open.pid
    for name in tmp_path.glob("cache.sqlite*"):
        name.unlink()
    (tmp_path / "cache.sqlite").write_bytes(b"x" * 10_000)
    told = ask(one, *(str(i) for i in range(500)))
    assert all(isinstance(broken, UserError) and "cache.sqlite" in str(broken) for broken in told)


def test_images_travel_as_data_uris_with_the_last_message(endpoint, judge):
    picture = encode_png(np.zeros((4, 4), np.uint8))
    sent = (
        b'{"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}'
    )
    image, text = json.loads(with_images(sent, (picture,), None))["messages"][-1]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,") and text == {
        "type": "text",
        "text": "u",
    }
    endpoint()
    assert ask(judge(), "a", images=[picture])[0].verdict == "sound"
