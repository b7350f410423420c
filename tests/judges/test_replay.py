"""Record and replay: a run repeated with the network off gives the same answers, bit for bit."""

import asyncio
import socket

import pytest

from medical_rl.errors import JudgeFailed

ANSWERS = [str(i) for i in range(40)]


def ask(judge, answers):
    async def main():
        asked = [judge.consistency("q", "t", answer) for answer in answers]
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(main())


@pytest.fixture
def recorded(endpoint, judge):
    """Verdicts of a live run with faults; its cache stays."""
    endpoint(share_429=0.2, share_garbage=0.1, seed=3)
    verdicts = ask(judge(max_attempts=10), ANSWERS)
    assert len({v.reason for v in verdicts}) == len(ANSWERS)
    return verdicts


def test_a_recorded_run_replays_with_sockets_forbidden(recorded, judge, no_network):
    again = judge(mode="replay")
    before = again.totals()["requests"]
    assert ask(again, ANSWERS) == recorded
    assert again.totals()["requests"] == before


def test_a_miss_names_its_key_and_that_nothing_is_sent(recorded, judge, no_network):
    again = judge(mode="replay")
    known, missed = ask(again, ["0", "never asked"])
    assert known == recorded[0]
    assert isinstance(missed, JudgeFailed) and missed.reason == "missing"
    assert "conf.judge.mode=replay" in str(missed) and "has no answer to " in str(missed)
    assert again.totals()["failures"] == {"missing": 1}


def test_a_live_judge_notices_that_the_network_is_off(judge, no_network):
    with pytest.raises(AssertionError, match="the network was used"):
        socket.create_connection(("127.0.0.1", 1))
    (failed,) = ask(judge(max_attempts=1), ["a"])
    assert isinstance(failed, (AssertionError, JudgeFailed)), "or the replay above would prove nothing"
