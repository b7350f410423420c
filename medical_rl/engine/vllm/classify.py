"""Scores of graded rows by vLLM: `python -m medical_rl.engine.vllm.classify REQUEST.json` (see reward_model/scoring.py)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import medical_rl.engine.verl.plugin  # noqa: F401, I001  before any other part of verl
from medical_rl.images import decode
from medical_rl.reward_model.graded import Graded
from medical_rl.reward_model.model import read_facts
from medical_rl.reward_model.scoring import complete
from medical_rl.rewards.reward_model_client import turns
from medical_rl.training.encode import load_processor


def outputs(request: dict, rows: Iterator[Graded]) -> Iterator[list[float]]:
    """R_phi's raw outputs of each row, in order, `request["batch"]` rows at a time."""
    from vllm import LLM, PoolingParams

    facts, cpu = read_facts(request["model"]), request["device"] == "cpu"
    processor = load_processor(request["model"])
    llm = LLM(
        model=request["model"],
        runner="pooling",
        dtype=request["dtype"],
        seed=int(request["seed"]),
        enforce_eager=cpu,
        max_model_len=int(facts["max_length"]),
        gpu_memory_utilization=float(request["gpu_memory_utilization"]),
        disable_log_stats=True,
        **(
            {"distributed_executor_backend": "uni"} if cpu else {"tensor_parallel_size": int(request["gpus"])}
        ),
    )
    # the default activation would squash a grade into a probability
    raw = PoolingParams(use_activation=False)
    while batch := list(islice(rows, int(request["batch"]))):
        found = llm.classify([_prompt(row, processor) for row in batch], pooling_params=raw, use_tqdm=False)
        yield from (list(result.outputs.probs) for result in found)
        print(f"scored {len(batch)} rows", flush=True)


def _prompt(row: Graded, processor) -> dict:
    chat = turns(row.sample.question, row.text, [{"type": "image"}] * len(row.sample.images))
    text = processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=False)
    images = [decode(data) for data in row.sample.images]
    return {"prompt": text, **({"multi_modal_data": {"image": images}} if images else {})}


if __name__ == "__main__":
    complete(Path(sys.argv[1]), outputs)
