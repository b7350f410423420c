"""A model under vLLM and what it is given: the engine with room for the longest row, chat texts, images."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import medical_rl.engine.verl.plugin  # noqa: F401, I001  before any other part of verl
from medical_rl.data.parquet import read_samples
from medical_rl.data.prompts import messages
from medical_rl.engine.verl.tokens import PromptCounter, with_placeholders
from medical_rl.errors import UserError
from medical_rl.images import decode, image_size

LACKING = {"image processor": "image_processor", "chat template": "chat_template"}


def turns_of(sample, request: dict) -> list[dict[str, str]]:
    """The chat turns that the request asks of a row, `<image>` where its images stand."""
    return request.get("messages") or messages(sample, request["prompt"])


def takes_limits(processor) -> bool:
    """True for a processor of the Qwen-VL family, whose images are resized to the run's pixel limits and counted exactly.

    Any other model sees the images as they are, resized by its own processor.
    """
    return type(processor.image_processor).__name__.startswith("Qwen2VL")


def longest(request: dict, processor) -> tuple[int | None, int]:
    """(prompt tokens of the longest row, images of the row with most): vLLM must take every row, the long ones too.

    None tokens where they cannot be counted from the images' sizes.
    """
    counter = PromptCounter(processor, request["limits"]) if takes_limits(processor) else None
    tokens, images = 0, 1
    for sample in islice(read_samples(Path(request["rows"])), request.get("limit")):
        turns = turns_of(sample, request)
        tokens = (
            max(tokens, counter.count(turns, [image_size(b) for b in sample.images])) if counter else None
        )
        images = max(images, len(sample.images))
    return tokens, images


def load_processor(model: str):
    """The model's processor; UserError for a model without images or without a chat format: nothing could be asked of it."""
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(model)
    lacks = [what for what, name in LACKING.items() if getattr(processor, name, None) is None]
    if lacks:
        raise UserError(
            f"{model} cannot be evaluated: it has no {' and no '.join(lacks)}. Give a chat model that takes images, "
            "in the format of Hugging Face transformers."
        )
    return processor


def load_engine(request: dict, processor, room: int):
    """The vLLM engine of the request's model, with room for the longest row and `room` tokens after it."""
    from vllm import LLM

    tokens, images = longest(request, processor)
    cpu = request["device"] == "cpu"
    longest_row = -1 if tokens is None else tokens + room
    # A prompt that is read in parts turns its seeded random stream back, which torch's CPU generator cannot.
    whole = {"enable_chunked_prefill": False, "max_num_batched_tokens": max(8192, longest_row)}
    return LLM(
        model=request["model"],
        dtype=request["dtype"],
        seed=int(request["seed"]),
        enforce_eager=cpu,
        # -1: as long as the model allows and memory has room for
        max_model_len=longest_row,
        gpu_memory_utilization=float(request["gpu_memory_utilization"]),
        limit_mm_per_prompt={"image": images},
        disable_log_stats=True,
        **(
            {"distributed_executor_backend": "uni", **whole}
            if cpu
            else {"tensor_parallel_size": int(request["gpus"])}
        ),
    )


def prompts(samples: list, request: dict, processor) -> list[dict]:
    """What vLLM takes for each sample: the chat text and its images, resized as in training where the model is of that family."""
    made = []
    for sample in samples:
        turns = [
            {"role": m["role"], "content": with_placeholders(m["content"])} for m in turns_of(sample, request)
        ]
        text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        images = [picture(data, processor, request["limits"]) for data in sample.images]
        made.append({"prompt": text, **({"multi_modal_data": {"image": images}} if images else {})})
    return made


def picture(data: bytes, processor, limits: dict):
    """A PIL image: resized to `limits` for a processor that takes them, else as it is."""
    from qwen_vl_utils.vision_process import fetch_image

    if not takes_limits(processor):
        return decode(data)
    return fetch_image(
        {"image": decode(data), **limits}, image_patch_size=processor.image_processor.patch_size
    )
