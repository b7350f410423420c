"""The guard: restricted rows stay where they are, checked before anything is encoded or sent."""

import asyncio

import pytest

from medical_rl.errors import RewardFailed, UserError
from medical_rl.judges import judge as client
from medical_rl.judges.endpoint import Endpoint
from medical_rl.rewards.load import check_restricted
from medical_rl.rewards.reward_model_client import RewardModelClient
from medical_rl.sample import Sample


def row(restricted: bool) -> Sample:
    source = "mimic_cxr" if restricted else "medmnist"
    return Sample(id="1", source=source, question="?", kind="yes_no", answer="yes", restricted=restricted)


def test_a_restricted_row_is_refused_before_encoding_and_network(endpoint, judge, no_network, monkeypatch):
    monkeypatch.setattr(client, "image_hash", lambda _: pytest.fail("the image was touched"))
    asked = judge().consistency("q", "t", "a", images=[b"no image"], restricted=True, source="mimic_cxr")
    with pytest.raises(UserError, match="mimic_cxr.*conf/judge=local.*covered=true"):
        asyncio.run(asked)


@pytest.mark.parametrize("declared", [{"local": True}, {"covered": True}])
def test_a_restricted_row_goes_where_it_may(endpoint, judge, declared):
    endpoint()
    verdict = asyncio.run(
        judge(settings=declared).consistency("q", "t", "a", restricted=True, source="mimic_cxr")
    )
    assert verdict.verdict == "sound"


def test_training_data_are_checked_ahead():
    away, here = (
        Endpoint("https://api.example.com/v1", "m"),
        Endpoint("http://localhost:1/v1", "m", local=True),
    )
    check_restricted({"conf.judge.endpoint": away}, [row(False), row(False)])
    check_restricted({"conf.judge.endpoint": here}, [row(True)])
    with pytest.raises(UserError, match="mimic_cxr.*conf.judge.endpoint.covered"):
        check_restricted({"conf.judge.endpoint": away}, [row(False), row(True)])
    with pytest.raises(UserError, match="conf.reward_model.local=true"):
        check_restricted({"conf.reward_model": RewardModelClient("http://away:8000")}, [row(True)])


@pytest.mark.parametrize(
    "address",
    [
        "https://api.openai.com/v1",
        "https://x.openai.azure.com/v1",
        "https://generativelanguage.googleapis.com/v1beta/openai",
    ],
)
def test_a_third_partys_address_is_not_made_local_by_saying_so(address):
    # what `conf/judge=local conf.judge.endpoint.base_url=https://api.openai.com/v1` comes to
    with pytest.raises(UserError, match="mimic_cxr.*third parties.*covered=true"):
        check_restricted({"conf.judge.endpoint": Endpoint(address, "m", local=True)}, [row(True)])
    check_restricted({"conf.judge.endpoint": Endpoint(address, "m", local=True)}, [row(False)])
    check_restricted({"conf.judge.endpoint": Endpoint(address, "m", covered=True)}, [row(True)])


@pytest.mark.parametrize("source", ["ＭＩＭＩＣ-CXR", "MIMIC CXR", "fair_vlm-med"])
def test_another_spelling_of_a_restricted_source_is_restricted(source):
    assert Sample(id="1", source=source, question="?", kind="yes_no", answer="yes").restricted


async def through_a_proxy(ask) -> int:
    """How many connections the proxy of the environment sees while `ask()` is awaited."""
    seen = []

    async def handle(reader, writer):
        seen.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    with pytest.MonkeyPatch.context() as patched:
        for name in ("HTTP_PROXY", "http_proxy"):
            patched.setenv(name, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        for name in ("NO_PROXY", "no_proxy"):
            patched.delenv(name, raising=False)
        await ask()
    server.close()
    return len(seen)


def test_a_local_endpoint_is_asked_without_the_clusters_proxy(endpoint, judge):
    endpoint()
    one = judge(settings={"local": True})

    async def ask():
        return await one.consistency("q", "t", "a", restricted=True, source="mimic_cxr")

    assert asyncio.run(through_a_proxy(ask)) == 0, "the proxy would see the row and its image"


def test_a_local_reward_model_is_asked_without_the_clusters_proxy():
    model = RewardModelClient("http://127.0.0.1:9", local=True, max_attempts=1)

    async def ask():
        with pytest.raises(RewardFailed, match="gave no score"):
            await model.score(row(True), "text")

    assert asyncio.run(through_a_proxy(ask)) == 0
