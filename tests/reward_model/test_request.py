"""What a training is asked: names and values are checked, and what decides the result is its identity."""

import json

import pytest

from medical_rl.errors import UserError
from medical_rl.reward_model.training.request import Request

ASKED = {
    "model": "m",
    "rows": "r",
    "out": "o",
    "work": "w",
    "min_pixels": 1,
    "max_pixels": 2,
    "fit": {"steps": 3},
}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"loss": "mae"}, "loss 'mae'"),
        ({"los": "mse"}, "Did you mean 'loss'"),
        ({"fit": {"step": 3}}, "Did you mean 'steps'"),
        ({"criteria": ["fact"]}, "Did you mean 'factual'"),
        ({"overlong": "cut"}, "'cut'"),
        ({"precision": "fp8"}, "fp8"),
        ({"export_dtype": "int8"}, "int8"),
    ],
)
def test_an_unknown_setting_is_named_with_what_there_is(change, message):
    with pytest.raises(UserError, match=message):
        Request.of(ASKED | change)


def test_a_missing_setting_is_named():
    with pytest.raises(UserError, match="max_pixels"):
        Request.of({k: v for k, v in ASKED.items() if k != "max_pixels"})


def test_a_request_survives_its_file(tmp_path):
    asked = ASKED | {"sft": {"epochs": 1}, "criteria": ["format"]}
    (tmp_path / "request.json").write_text(json.dumps(asked))
    found = Request.read(tmp_path / "request.json")
    assert found == Request.of(asked) and found.sft.epochs == 1 and found.outputs == ["total", "format"]


def test_identity_changes_with_what_is_trained_and_with_nothing_else():
    base = Request.of(ASKED).identity()
    assert base == Request.of(ASKED | {"out": "elsewhere", "save_every": 1, "metrics": "x"}).identity()
    others = {
        Request.of(ASKED | change).identity()
        for change in ({"seed": 1}, {"fit": {"steps": 4}}, {"loss": "pairwise"})
    }
    assert len(others | {base}) == 4
