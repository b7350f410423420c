"""The guard: restricted rows stay where they are, checked before anything is encoded or sent."""

import asyncio

import pytest

from medical_rl.errors import UserError
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
