"""The accuracy + format mix through our reward manager against verl's naive manager: the same labels, a ratio of throughputs."""

import asyncio
import random
import statistics
import time

import numpy as np
import pytest

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]
COUNT, WORDS, REPEATS = 2560, 180, 5
CHOICES = ("malignant", "normal, benign")
VOCABULARY = [
    "the",
    "lung",
    "field",
    "shows",
    "a",
    "clear",
    "costophrenic",
    "angle",
    "with",
    "no",
    "focal",
    "consolidation",
    "and",
    "the",
    "heart",
    "is",
    "of",
    "normal",
    "size",
]


def completions():
    """COUNT texts of about WORDS words: right, wrong, cut short, without tags."""
    rng = random.Random(0)
    for _ in range(COUNT):
        body = " ".join(rng.choice(VOCABULARY) for _ in range(WORDS))
        answer = rng.choice([*CHOICES, "unsure"])
        forms = (
            f"<think>{body}</think> \\boxed{{{answer}}}",
            f"<think>{body} \\boxed{{{answer}}}",
            f"{body} {answer}",
        )
        yield rng.choice(forms)


def score_for_verl(data_source, solution_str, ground_truth, extra_info=None):
    """The same two terms as a function for verl's naive manager."""
    from medical_rl.parsing.response import parse
    from medical_rl.rewards.terms.accuracy import accuracy
    from medical_rl.rewards.terms.format import format_reward
    from medical_rl.sample import Sample

    sample = Sample("1", data_source, "?", "label", ground_truth, choices=CHOICES)
    response = parse(solution_str)
    right, formed = accuracy(response, sample), format_reward(response, sample)
    return {"score": right + formed, "acc": right, "format": formed}


async def score_for_verl_async(**given):
    return score_for_verl(**given)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """(managers by name, trajectories as verl's reward worker gets them)."""
    import torch
    import verl
    from omegaconf import OmegaConf
    from tensordict import TensorDict
    from transformers import AutoTokenizer
    from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager

    import medical_rl.engine.verl.plugin  # noqa: F401
    from medical_rl.config.compose import compose
    from medical_rl.engine.verl.reward_manager import MedicalRewardManager
    from medical_rl.sample import Sample
    from medical_rl.tiny.model import build_tiny_model

    folder = build_tiny_model([" ".join(VOCABULARY)], vocab_size=1024, cache=tmp_path_factory.mktemp("model"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    run = f"conf.run_dir={tmp_path_factory.mktemp('run')}"
    config = compose(
        ["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", "conf/rewards=accuracy_format", run]
    )
    config = OmegaConf.create(OmegaConf.to_container(config, resolve=True))

    def trajectory(i, text):
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        tensors = {"prompts": torch.zeros(1, 200, dtype=torch.long), "responses": ids}
        tensors["attention_mask"] = torch.ones(1, 200 + ids.shape[1], dtype=torch.long)
        sample = Sample(str(i // 8), "set", "?", "label", "malignant", choices=CHOICES)
        columns = {
            "sample": sample.to_json(),
            "data_source": "set",
            "reward_model": {"ground_truth": "malignant"},
        }
        columns["extra_info"] = {"index": i}
        arrays = {name: np.array([value], dtype=object) for name, value in columns.items()}
        return verl.DataProto(batch=TensorDict(tensors, batch_size=1), non_tensor_batch=arrays)

    managers = {
        "verl naive, function": NaiveRewardManager(config, tokenizer, score_for_verl),
        "verl naive, async function": NaiveRewardManager(config, tokenizer, score_for_verl_async),
        "medical_rl": MedicalRewardManager(config, tokenizer, None),
    }
    return managers, [trajectory(i, text) for i, text in enumerate(completions())]


def timed(manager, items):
    """(completions per second, scores); one after the other, as a reward worker with one response in flight."""

    async def all_of_them():
        manager.loop = asyncio.get_running_loop()
        return [await manager.run_single(item) for item in items]

    start = time.perf_counter()
    found = asyncio.run(all_of_them())
    return len(items) / (time.perf_counter() - start), [result["reward_score"] for result in found]


def test_our_manager_scores_at_least_five_times_as_fast_as_verls_naive_one(work, root):
    managers, items = work
    rates, scores = {name: [] for name in managers}, {}
    for _ in range(REPEATS):
        for name, manager in managers.items():
            rate, scores[name] = timed(manager, items)
            rates[name].append(rate)
    assert scores["medical_rl"] == scores["verl naive, function"] == scores["verl naive, async function"]
    middle = {name: statistics.median(found) for name, found in rates.items()}
    best = max(middle[name] for name in middle if name != "medical_rl")
    rows = [
        f"| {n} | {middle[n]:,.0f} | {min(rates[n]):,.0f} to {max(rates[n]):,.0f} | {middle['medical_rl'] / middle[n]:.1f} |"
        for n in managers
    ]
    text = (
        "# Scoring\n\nThe accuracy + format mix on the same completions in the same process: what a reward worker of verl does with "
        f"a finished response, from token ids to the dictionary of components. {COUNT:,} completions of about {WORDS} words, "
        f"{REPEATS} rounds in turn; all scores equal. `make bench` writes this file.\n\n"
        "| manager | completions per second (median) | range | ours, as a multiple |\n|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )
    (root / "benchmarks" / "scoring.md").write_text(text)
    assert middle["medical_rl"] >= 5 * best, text
