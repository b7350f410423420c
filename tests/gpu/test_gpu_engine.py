"""On a host with a GPU: the same tiny recipe on the GPU engine."""

import json
import os
import subprocess
import sys

import pytest

from medical_rl.config.hardware import count_gpus
from medical_rl.run.progress import read_metrics

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(count_gpus() == 0, reason="no NVIDIA GPU is visible on this host"),
]


def test_the_tiny_recipe_runs_on_the_gpu_engine(tmp_path):
    folder = tmp_path / "run"
    small = (
        "conf.data.params.sizes={warm_start: 256, train: 64, val: 16, test: 30}",
        "trainer.total_training_steps=4",
        "trainer.save_freq=2",
        "trainer.test_freq=2",
    )
    command = [
        sys.executable,
        "-m",
        "medical_rl.main",
        "conf=vrft_aug",
        "conf/scale=tiny",
        "conf/engine=gpu_single",
        f"conf.run_dir={folder}",
        *small,
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((folder / "results.json").read_text())
    assert [e["model"] for e in results["evaluations"]] == ["base", "warm_start", "rl"]
    for step, found in read_metrics(folder / "metrics.jsonl", "rl").items():
        if step:
            # bfloat16 rollouts against bfloat16 training: close, not equal
            assert found["training/rollout_actor_probs_pearson_corr"] > 0.98
