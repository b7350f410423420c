"""Responses by vLLM, in a process: `python -m medical_rl.engine.vllm.generate REQUEST.json ...`.

A request names a model folder, a parquet file of prepared rows, limits and where the responses go (see
requests.py). It may further hold
    temperature, top_p   sampling, seeded by (seed, row id); greedy without them
    n                    responses a row: then a line holds "responses" and "finishes", one row's all or none
    messages             chat turns asked of every row as they stand, in place of `prompt`, which is a
                         template
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from medical_rl.engine.vllm.inputs import load_engine, load_processor, prompts
from medical_rl.engine.vllm.requests import answer_each, answered_ids, append_lines, requested_samples
from medical_rl.errors import UserError


def sampling(sample, request: dict) -> dict:
    """vLLM's SamplingParams of a row, as keywords. With one seed all rows would share their luck.

    >>> sampling(None, {"max_new_tokens": 8, "seed": 1})
    {'temperature': 0.0, 'max_tokens': 8, 'seed': 1}
    """
    temperature = float(request.get("temperature") or 0.0)
    parameters = {"temperature": temperature, "max_tokens": int(request["max_new_tokens"])}
    if not temperature:
        return {**parameters, "seed": int(request["seed"])}
    name = f"{request['seed']}:{sample.id}".encode()
    seed = int.from_bytes(hashlib.sha256(name).digest()[:6], "big")  # a row's n-th response has seed + n
    top_p, count = float(request.get("top_p") or 1.0), int(request.get("n") or 1)
    return {**parameters, "top_p": top_p, "n": count, "seed": seed}


def record(sample_id: str, outputs: list, n: int) -> dict:
    """The line of a row: "response" and "finish" where one was asked for, else "responses" and "finishes"."""
    texts = [output.text for output in outputs]
    finishes = [output.finish_reason for output in outputs]
    if n == 1:
        return {"id": sample_id, "response": texts[0], "finish": finishes[0]}
    return {"id": sample_id, "responses": texts, "finishes": finishes}


def answer(request_file: Path) -> None:
    """Append a line (see `record`) to the request's output for every row not answered yet.

    Raises UserError for a request of several responses a row without a temperature: they would all be the
    same.
    """
    from vllm import SamplingParams

    request = json.loads(request_file.read_text())
    if int(request.get("n") or 1) > 1 and not request.get("temperature"):
        raise UserError(
            f"{request_file} asks for {request['n']} responses a row at temperature 0: give a temperature."
        )
    output = Path(request["output"])
    done = answered_ids(output)
    remaining = (sample for sample in requested_samples(request) if sample.id not in done)
    first = next(remaining, None)
    if first is None:
        return
    print(f"{request['model']} answers {request['rows']}", flush=True)
    processor = load_processor(request["model"])
    engine = load_engine(request, processor, int(request["max_new_tokens"]))

    def lines(batch: list) -> Iterator[dict]:
        parameters = [SamplingParams(**sampling(sample, request)) for sample in batch]
        results = engine.generate(prompts(batch, request, processor), parameters, use_tqdm=False)
        for sample, result in zip(batch, results, strict=True):
            yield record(sample.id, result.outputs, parameters[0].n)

    for count in append_lines(output, chain([first], remaining), int(request["batch"]), lines):
        print(f"answered {count} rows", flush=True)


if __name__ == "__main__":
    raise SystemExit(answer_each(answer, sys.argv[1:]))
