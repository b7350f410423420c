"""Our rewards in plain verl: found under their name, in a fresh process, on rows that we did not prepare."""

import json
import subprocess
import sys

PLAIN = """
import asyncio, json, sys
import numpy as np, torch
from hydra import compose, initialize_config_dir
from tensordict import TensorDict
from medical_rl.config.compose import verl_config_folder
import verl
from verl.trainer.ppo.reward import load_reward_manager
from verl.utils import hf_tokenizer

with initialize_config_dir(str(verl_config_folder()), version_base=None):
    config = compose("ppo_trainer", overrides=["reward.reward_manager.name=medical", *sys.argv[2:]])
tokenizer = hf_tokenizer(sys.argv[1])
manager = load_reward_manager(config, tokenizer, reward_router_address=None, reward_model_tokenizer=None)

def score(text, **columns):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    tensors = {"prompts": torch.zeros(1, 2, dtype=torch.long), "responses": torch.tensor([ids]), "attention_mask": torch.ones(1, 2 + len(ids), dtype=torch.long)}
    columns = {k: np.array([v], dtype=object) for k, v in columns.items()}
    data = verl.DataProto(batch=TensorDict(tensors, batch_size=1), non_tensor_batch=columns)
    return asyncio.run(manager.run_single(data))

row = {"data_source": "demo", "reward_model": {"style": "rule", "ground_truth": "no"}, "extra_info": {"index": 3}}
print("RESULT", json.dumps([type(manager).__name__, score("<think>clear</think> \\\\boxed{No.}", **row), score("", **row)]))
"""


def test_plain_verl_finds_our_manager_by_its_entry_point(model, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PLAIN,
            str(model),
            "+reward.medical.mix=accuracy_format",
            "+reward.medical.overrides=['conf.rewards.terms.format.weight=0.5']",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    name, right, empty = json.loads(done.stdout.split("RESULT", 1)[1])
    assert name == "PlainRewardManager"
    assert right["reward_score"] == 1.5 and right["reward_extra_info"]["accuracy"] == 1.0
    assert empty["reward_score"] == 0.0 and list(empty["reward_extra_info"]) == list(
        right["reward_extra_info"]
    )


def test_importing_verl_does_not_import_its_managers_for_us():
    code = "import sys, verl; print('verl.experimental.reward_loop.reward_manager' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split()[-1] == "False", "every process that imports verl would pay seconds for it"
