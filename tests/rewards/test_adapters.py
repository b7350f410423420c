"""The same rewards outside our trainer: EasyR1's batch function and TRL's list, the latter in TRL's own trainer."""

import importlib.util
import json
from pathlib import Path

import pytest

from medical_rl.adapters.trl import completion_text, reward_functions
from medical_rl.errors import UserError
from medical_rl.rewards.score import sample_of
from medical_rl.sample import Sample

GOOD, BAD = "<think>clear</think><answer>no</answer>", "<think>clear</think><answer>yes</answer>"


def easyr1():
    """compute_score as EasyR1 finds it: by file path, under a name of its own."""
    import medical_rl.adapters.easyr1 as installed

    spec = importlib.util.spec_from_file_location("custom_reward_fn", Path(installed.__file__))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_easyr1_gets_a_total_and_every_component():
    module = easyr1()
    assert module.REWARD_TYPE == "batch"
    items = [{"response": t, "response_length": 9, "ground_truth": "no"} for t in (GOOD, BAD, "")]
    scores = module.compute_score(
        items, overrides=["conf/rewards=accuracy_format", "conf.rewards.terms.format.form=tagged"]
    )
    assert [s["overall"] for s in scores] == [2.0, 1.0, 0.0]
    assert [s["accuracy"] for s in scores] == [1.0, 0.0, 0.0] and [s["format"] for s in scores] == [
        1.0,
        1.0,
        0.0,
    ]
    assert len({tuple(s) for s in scores}) == 1, "EasyR1 collects the metrics by the keys"


def test_trl_gets_the_total_and_a_function_for_each_term():
    functions, weights = reward_functions(
        "conf/rewards=accuracy_format", "conf.rewards.terms.format.form=tagged"
    )
    columns = {"answer": ["no", "no"], "kind": ["yes_no", "yes_no"]}
    found = {f.__name__: f(prompts=["?", "?"], completions=[GOOD, BAD], **columns) for f in functions}
    assert found == {"total": [2.0, 1.0], "accuracy": [1.0, 0.0], "format": [1.0, 1.0]} and weights == [
        1.0,
        0.0,
        0.0,
    ]


def test_trl_masks_a_failed_term_and_its_total_takes_the_groups_mean(tmp_path):
    (tmp_path / "r.py").write_text(
        "def f(response, sample):\n    if 'bad' in response.text: raise OSError('down')\n    return float(len(response.text))\n"
    )
    functions, _ = reward_functions(
        f"+conf.rewards.terms.mine={{fn: '{tmp_path}/r.py:f', weight: 1}}", "~conf.rewards.terms.outcome"
    )
    asked = {"prompts": ["p"] * 3, "completions": ["a", "abc", "bad"], "answer": ["x"] * 3}
    by_name = {f.__name__: f(**asked) for f in functions}
    assert by_name["mine"] == [1.0, 3.0, None]
    assert by_name["total"] == [1.0, 3.0, 2.0]  # the mean of 1 and 3


def test_rows_of_ours_and_of_others_become_samples():
    ours = Sample("7", "set", "?", "grade", "3", choices=("0", "3"), concepts=("disc",))
    assert sample_of({"sample": ours.to_json(), "answer": "other"}) == ours
    assert sample_of({"ground_truth": "Yes", "problem": "Effusion?"}).kind == "yes_no"
    assert sample_of({"solution": "disc", "data_source": "phantoms"}).source == "phantoms"
    with pytest.raises(UserError, match="no answer"):
        sample_of({"prompt": "?"})


def test_a_chat_completion_is_read_as_its_text():
    assert completion_text([{"role": "assistant", "content": GOOD}]) == GOOD


@pytest.mark.timeout(300)
def test_trls_own_trainer_runs_on_our_functions(tmp_path):
    datasets, trl = (
        pytest.importorskip("datasets"),
        pytest.importorskip("trl", reason="TRL is in the extra `test`"),
    )
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from medical_rl.tiny.model import train_tokenizer

    tokenizer = train_tokenizer(["Is there an effusion? yes no think answer"] * 4, 300)
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|endoftext|>"
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=len(tokenizer), num_key_value_heads=2, **size))
    rows = [
        {"prompt": "Is there an effusion?", "answer": "no", "kind": "yes_no", "concepts": ["effusion"]}
    ] * 4
    functions, weights = reward_functions("conf/rewards=medfact_r1_offline")
    settings = trl.GRPOConfig(
        output_dir=str(tmp_path), per_device_train_batch_size=4, num_generations=4, max_completion_length=8, max_steps=1,
        reward_weights=weights, report_to=[], use_cpu=True, logging_steps=1, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = trl.GRPOTrainer(
        model, functions, settings, datasets.Dataset.from_list(rows), processing_class=tokenizer
    )
    trainer.train()
    logged = trainer.state.log_history[0]
    # every completion of random weights: no answer, no format, no concept, inconsistent -> (0 + 0 + 0 - 0.5) / 3.2
    assert logged["rewards/lexical_consistency/mean"] == -0.5
    assert logged["rewards/total/mean"] == pytest.approx(-0.5 / 3.2, abs=1e-4), json.dumps(logged)
    assert logged["reward"] == pytest.approx(logged["rewards/total/mean"])
