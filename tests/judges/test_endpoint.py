"""Endpoint: what a request carries, and settings that are refused."""

import json

import pytest
from omegaconf import OmegaConf

from medical_rl.errors import UserError
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.messages import CONSISTENCY


def test_the_schema_is_asked_for_strictly_where_the_endpoint_can():
    asked = Endpoint("http://x/v1", "m", seed=3, top_p=0.8, extra_body={"n": 1}).parameters(CONSISTENCY)
    assert asked["response_format"]["json_schema"] == {
        "name": "answer",
        "strict": True,
        "schema": CONSISTENCY,
    }
    assert (asked["seed"], asked["top_p"], asked["n"]) == (3, 0.8, 1)
    assert "response_format" not in Endpoint("http://x/v1", "m", json_schema=False).parameters(CONSISTENCY)


def test_newer_models_name_the_token_limit_otherwise_and_take_no_temperature():
    asked = Endpoint(
        "http://x/v1", "m", temperature=None, max_tokens_field="max_completion_tokens"
    ).parameters()
    assert asked == {"model": "m", "max_completion_tokens": 256}


@pytest.mark.parametrize(
    "address", ["http://user:sk-secret@host/v1", "https://host/v1?key=sk-secret", "ftp://host", ""]
)
def test_an_address_that_holds_a_key_or_is_none_is_refused(address):
    with pytest.raises(UserError) as refused:
        Endpoint(address, "m")
    assert "sk-secret" not in str(refused.value)


def test_a_key_given_in_place_of_a_name_is_refused_and_not_repeated():
    with pytest.raises(UserError) as refused:
        Endpoint("http://x/v1", "m", api_key_env="sk-secret-123")
    assert "NAME" in str(refused.value) and "sk-secret" not in str(refused.value)


def test_a_missing_key_names_the_variable(monkeypatch):
    monkeypatch.delenv("MY_JUDGE_KEY", raising=False)
    with pytest.raises(UserError, match="MY_JUDGE_KEY, which is not set"):
        Endpoint("http://x/v1", "m", api_key_env="MY_JUDGE_KEY").api_key()


def test_a_mistyped_setting_is_named():
    with pytest.raises(UserError, match="Did you mean 'timeout_s'"):
        Endpoint.from_mapping({"base_url": "http://x", "model": "m", "timeout": 3})


def test_further_fields_from_a_configuration_can_be_sent():
    body = {"logit_bias": {7: 3}, "guided": {"stop": ["a", "b"]}}
    given = OmegaConf.create({"base_url": "http://localhost:1/v1", "model": "m", "extra_body": body})
    sent = json.loads(json.dumps(Endpoint.from_mapping(given).parameters()))
    assert sent["logit_bias"] == {"7": 3} and sent["guided"] == {"stop": ["a", "b"]}
