"""Responses by vLLM, in a process of its own: `python -m medical_rl.engine.vllm.generate REQUEST.json ...`.

A request names a model folder, a parquet file of prepared rows, limits and where the
responses go; each response is written as it comes, so an interrupted request goes on where
it stopped. It may further hold
    temperature, top_p   sampling, seeded by (seed, row id); greedy without them
    n                    responses a row: then a line holds "responses" and "finishes", one row's all or none
    messages             chat turns asked of every row as they stand, in place of `prompt`, which is a template
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from medical_rl.data.parquet import read_samples
from medical_rl.engine.vllm.forks import answer_each
from medical_rl.engine.vllm.inputs import load_engine, load_processor, prompts
from medical_rl.errors import UserError


def answered(path: Path) -> set[str]:
    """Ids of the rows that `path` holds a response for; a line cut short by a kill is dropped from the file."""
    if not path.exists():
        return set()
    lines = path.read_text(encoding="utf-8").split("\n")
    whole = [line for line in lines[:-1] if line]
    if lines[-1]:
        path.write_text("".join(line + "\n" for line in whole), encoding="utf-8")
    return {json.loads(line)["id"] for line in whole}


def sampling(sample, request: dict) -> dict:
    """vLLM's SamplingParams of a row, as keywords. Rows have seeds of their own: with one seed all would share their luck.

    >>> sampling(None, {"max_new_tokens": 8, "seed": 1})
    {'temperature': 0.0, 'max_tokens': 8, 'seed': 1}
    """
    chosen = {
        "temperature": float(request.get("temperature") or 0.0),
        "max_tokens": int(request["max_new_tokens"]),
    }
    if not chosen["temperature"]:
        return {**chosen, "seed": int(request["seed"])}
    name = f"{request['seed']}:{sample.id}".encode()
    seed = int.from_bytes(
        hashlib.sha256(name).digest()[:6], "big"
    )  # the n-th of a row's responses has seed + n
    return {
        **chosen,
        "top_p": float(request.get("top_p") or 1.0),
        "n": int(request.get("n") or 1),
        "seed": seed,
    }


def record(sample_id: str, outputs: list, n: int) -> dict:
    """The line of a row: "response" and "finish" where one was asked for, else "responses" and "finishes"."""
    if n == 1:
        return {"id": sample_id, "response": outputs[0].text, "finish": outputs[0].finish_reason}
    return {
        "id": sample_id,
        "responses": [o.text for o in outputs],
        "finishes": [o.finish_reason for o in outputs],
    }


def batches(samples: Iterator, size: int) -> Iterator[list]:
    """Lists of up to `size` samples."""
    while batch := list(islice(samples, size)):
        yield batch


def answer(request_file: Path) -> None:
    """None; appends a line (see `record`) to the request's output for every row not answered yet.

    UserError for a request of several responses a row without a temperature: they would all be the same.
    """
    from vllm import SamplingParams

    request = json.loads(request_file.read_text())
    if int(request.get("n") or 1) > 1 and not request.get("temperature"):
        raise UserError(
            f"{request_file} asks for {request['n']} responses a row at temperature 0: give a temperature."
        )
    output = Path(request["output"])
    done = answered(output)
    rows = islice(read_samples(Path(request["rows"])), request.get("limit"))
    waiting = (s for s in rows if s.id not in done)
    first = next(waiting, None)
    if first is None:
        return
    print(f"{request['model']} answers {request['rows']}", flush=True)
    processor = load_processor(request["model"])
    llm = load_engine(request, processor, int(request["max_new_tokens"]))

    def chained():
        yield first
        yield from waiting

    with output.open("a", encoding="utf-8") as file:
        for batch in batches(chained(), int(request["batch"])):
            asked = [SamplingParams(**sampling(sample, request)) for sample in batch]
            found = llm.generate(prompts(batch, request, processor), asked, use_tqdm=False)
            for sample, result, params in zip(batch, found, asked, strict=True):
                line = json.dumps(record(sample.id, result.outputs, params.n), ensure_ascii=False)
                file.write(line + "\n")
            file.flush()
            print(f"answered {len(batch)} rows", flush=True)


if __name__ == "__main__":
    raise SystemExit(answer_each(answer, sys.argv[1:]))
