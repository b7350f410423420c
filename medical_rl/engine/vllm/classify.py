"""Scores of graded rows by vLLM: `python -m medical_rl.engine.vllm.classify REQUEST.json ...`.

The request and its lines are those of reward_model/score.py.
"""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import medical_rl.engine.verl.plugin  # noqa: F401, I001  before any other part of verl
from medical_rl.engine.vllm.inputs import new_engine, prompt_input
from medical_rl.engine.vllm.requests import answer_each
from medical_rl.images import decode
from medical_rl.reward_model.graded import Graded
from medical_rl.reward_model.model import read_facts
from medical_rl.reward_model.score import complete_scores
from medical_rl.rewards.reward_model_client import chat_turns
from medical_rl.training.encode import load_processor


def outputs(request: dict, rows: Iterator[Graded]) -> Iterator[list[float]]:
    """R_phi's raw outputs of each row, in order, `request["batch"]` rows at a time."""
    from vllm import PoolingParams

    processor = load_processor(request["model"])
    length = int(read_facts(request["model"])["max_length"])
    engine = new_engine(request, runner="pooling", max_model_len=length)
    # the default activation would squash a grade into a probability
    raw = PoolingParams(use_activation=False)
    while True:
        batch = list(islice(rows, int(request["batch"])))
        if not batch:
            return
        inputs = [_prompt(row, processor) for row in batch]
        for result in engine.classify(inputs, pooling_params=raw, use_tqdm=False):
            yield list(result.outputs.probs)
        print(f"scored {len(batch)} rows", flush=True)


def _prompt(row: Graded, processor) -> dict:
    turns = chat_turns(row.sample.question, row.text, [{"type": "image"}] * len(row.sample.images))
    text = processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=False)
    return prompt_input(text, list(map(decode, row.sample.images)))


def answer(request_file: Path) -> None:
    """Append the scores of the request's rows that have none yet."""
    complete_scores(request_file, outputs)


if __name__ == "__main__":
    raise SystemExit(answer_each(answer, sys.argv[1:]))
