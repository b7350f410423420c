"""Greedy answers by vLLM, in a process of its own: `python -m medical_rl.engine.generate REQUEST.json`.

The request names a model folder, a parquet file of prepared rows, limits and where the
responses go; each response is written as it comes, so an interrupted request goes on where
it stopped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import medical_rl.engine.plugin  # noqa: F401, I001  before any other part of verl
from medical_rl.data.images import decode, image_size
from medical_rl.data.parquet import read_samples
from medical_rl.data.prompts import messages
from medical_rl.engine.tokens import PromptCounter, with_placeholders


def answered(path: Path) -> set[str]:
    """Ids of the rows that `path` holds a response for; a line cut short by a kill is dropped from the file."""
    if not path.exists():
        return set()
    lines = path.read_text(encoding="utf-8").split("\n")
    whole = [line for line in lines[:-1] if line]
    if lines[-1]:
        path.write_text("".join(line + "\n" for line in whole), encoding="utf-8")
    return {json.loads(line)["id"] for line in whole}


def longest(request: dict, processor) -> tuple[int, int]:
    """(prompt tokens of the longest row, images of the row with most): vLLM must take every row, the long ones too."""
    counter = PromptCounter(processor, request["limits"])
    tokens, images = 0, 1
    for sample in islice(read_samples(Path(request["rows"])), request.get("limit")):
        turns = messages(sample, request["prompt"])
        tokens = max(tokens, counter.count(turns, [image_size(b) for b in sample.images]))
        images = max(images, len(sample.images))
    return tokens, images


def load(request: dict):
    """(vLLM engine, processor) of the request's model, with room for the longest row."""
    from transformers import AutoProcessor
    from vllm import LLM

    processor = AutoProcessor.from_pretrained(request["model"])
    tokens, images = longest(request, processor)
    cpu = request["device"] == "cpu"
    llm = LLM(
        model=request["model"],
        dtype=request["dtype"],
        seed=int(request["seed"]),
        enforce_eager=cpu,
        max_model_len=tokens + int(request["max_new_tokens"]),
        gpu_memory_utilization=float(request["gpu_memory_utilization"]),
        limit_mm_per_prompt={"image": images},
        disable_log_stats=True,
        **({"distributed_executor_backend": "uni"} if cpu else {"tensor_parallel_size": int(request["gpus"])}),
    )
    return llm, processor


def prompts(samples: list, prompt_config: dict, processor, limits: dict) -> list[dict]:
    """What vLLM takes for each sample: the chat text and its images, resized as in training."""
    from qwen_vl_utils.vision_process import fetch_image

    made = []
    for sample in samples:
        turns = [
            {"role": m["role"], "content": with_placeholders(m["content"])} for m in messages(sample, prompt_config)
        ]
        text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        patch = processor.image_processor.patch_size
        images = [fetch_image({"image": decode(b), **limits}, image_patch_size=patch) for b in sample.images]
        made.append({"prompt": text, **({"multi_modal_data": {"image": images}} if images else {})})
    return made


def batches(samples: Iterator, size: int) -> Iterator[list]:
    """Lists of up to `size` samples."""
    while batch := list(islice(samples, size)):
        yield batch


def main(request_file: Path) -> None:
    """None; appends {"id", "response", "finish"} lines to the request's output for every row not answered yet."""
    from vllm import SamplingParams

    request = json.loads(request_file.read_text())
    output = Path(request["output"])
    done = answered(output)
    rows = islice(read_samples(Path(request["rows"])), request.get("limit"))
    waiting = (s for s in rows if s.id not in done)
    first = next(waiting, None)
    if first is None:
        return
    llm, processor = load(request)
    greedy = SamplingParams(temperature=0.0, max_tokens=int(request["max_new_tokens"]), seed=int(request["seed"]))

    def chained():
        yield first
        yield from waiting

    with output.open("a", encoding="utf-8") as file:
        for batch in batches(chained(), int(request["batch"])):
            found = llm.generate(
                prompts(batch, request["prompt"], processor, request["limits"]), greedy, use_tqdm=False
            )
            for sample, result in zip(batch, found, strict=True):
                out = result.outputs[0]
                file.write(
                    json.dumps({"id": sample.id, "response": out.text, "finish": out.finish_reason}, ensure_ascii=False)
                    + "\n"
                )
            file.flush()
            print(f"answered {len(batch)} rows", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
