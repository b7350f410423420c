"""A prompt through the model's own processor: counted alike, or the model is refused before anything is paid."""

import json

import pytest

from medical_rl.engine.checks import prompt_problems
from medical_rl.errors import UserError

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def test_a_qwen_prompt_counts_alike(config, model, prepared):
    assert prompt_problems(config, str(model), prepared / "train.parquet") == []


@pytest.mark.parametrize(
    "family, name",
    [
        ("gemma3", "Gemma3ImageProcessor"),
        ("internvl", "GotOcr2ImageProcessor"),
        ("llava_onevision", "LlavaOnevisionImageProcessor"),
    ],
)
def test_a_family_that_cannot_be_counted_is_refused_by_name(verl, config, prepared, tmp_path, family, name):
    import transformers

    from medical_rl.engine.checks.prompt import refuse_uncountable

    getattr(transformers, name)().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    with pytest.raises(UserError, match=f"{name}.*Qwen2-VL, Qwen2.5-VL and Qwen3-VL"):
        refuse_uncountable(str(tmp_path), prepared / "train.parquet", config.data)


def test_a_real_llava_is_refused_too(config, other_model, prepared):
    answer = prompt_problems(config, str(other_model), prepared / "train.parquet")
    assert len(answer) == 1 and "CLIPImageProcessor" in answer[0], answer


def test_a_count_that_differs_is_said_with_both_numbers(verl, config, model, prepared, monkeypatch):
    from medical_rl.engine.checks import prompt
    from medical_rl.engine.verl import tokens

    monkeypatch.setattr(tokens, "visual_tokens", lambda *_: 1)  # in place of 4
    answer = prompt.prompt_problem(str(model), prepared / "train.parquet", config.data)
    counts = [int(word) for word in answer.split() if word.isdigit()]
    assert counts[0] == counts[1] + 3, answer
