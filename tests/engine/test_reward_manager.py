"""The reward manager against the installed verl: its route, its signature, one key set on every path."""

import asyncio

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from medical_rl.data.parquet import read_samples


@pytest.fixture(scope="module")
def manager(verl, config, processor):
    from verl.trainer.ppo.reward import load_reward_manager

    return load_reward_manager(
        config, processor.tokenizer, reward_router_address=None, reward_model_tokenizer=None
    )


def trajectory(verl, processor, sample, text):
    """What verl's reward worker gets for one finished response."""
    ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    prompts, responses = (
        torch.zeros(1, 3, dtype=torch.long),
        torch.tensor([ids], dtype=torch.long).reshape(1, -1),
    )
    batch = TensorDict(
        {
            "prompts": prompts,
            "responses": responses,
            "attention_mask": torch.ones(1, 3 + len(ids), dtype=torch.long),
        },
        batch_size=1,
    )
    columns = {
        "sample": np.array([sample.to_json()], dtype=object),
        "data_source": np.array([sample.source], dtype=object),
    }
    return verl.DataProto(batch=batch, non_tensor_batch=columns)


def test_verl_loads_our_manager_by_its_importlib_route(manager):
    assert type(manager).__name__ == "MedicalRewardManager"


def test_a_right_answer_scores_the_whole_mix(verl, manager, processor, prepared, prompt):
    from medical_rl.data.prompts import target

    sample = next(iter(read_samples(prepared / "train.parquet")))
    result = asyncio.run(manager.run_single(trajectory(verl, processor, sample, target(sample, prompt))))
    # 0.9 * MFRS 1.0 + 0.1 * format 1.0
    assert result["reward_score"] == pytest.approx(1.0)
    assert result["reward_extra_info"]["outcome"] == 1.0


@pytest.mark.parametrize(
    "text", ["", "nothing", "<think>", "\\boxed{1}", "<think>a</think> \\boxed{9}", "\u200b" * 5]
)
def test_every_path_gives_the_same_numeric_keys(verl, manager, processor, prepared, text):
    # verl takes the keys from the first sample of a batch and indexes all others by them.
    sample = next(iter(read_samples(prepared / "train.parquet")))
    result = asyncio.run(manager.run_single(trajectory(verl, processor, sample, text)))
    assert tuple(result["reward_extra_info"]) == manager.mix.keys
    assert all(isinstance(v, float) for v in result["reward_extra_info"].values())
    assert result["reward_score"] == result["reward_extra_info"]["score"]


def test_component_metrics_leave_failed_samples_out_and_count_them(verl):
    from medical_rl.engine.verl.trainer import component_metrics
    from medical_rl.rewards.mix import Mix

    mix = Mix({"accuracy": {"weight": 2.0}})
    base = {"score": 2.0, "acc": 1.0, "accuracy": 1.0, "accuracy/weighted": 2.0, "accuracy/failed": 0.0}
    failed = {"score": 0.0, "acc": 0.0, "accuracy": 0.0, "accuracy/weighted": 0.0, "accuracy/failed": 1.0}
    metrics = component_metrics(mix, [base, base, failed, failed])
    assert metrics["reward/accuracy/mean"] == 1.0
    assert metrics["reward/accuracy/weighted"] == 2.0
    assert metrics["reward/accuracy/failed"] == 0.5
