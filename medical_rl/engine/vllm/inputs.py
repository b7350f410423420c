"""A model under vLLM and what it is given: an engine with room for the longest row, texts, images."""

from collections.abc import Mapping, Sequence
from typing import Any

import medical_rl.engine.verl.plugin  # noqa: F401, I001  before any other part of verl
from medical_rl.data.prompts import messages
from medical_rl.engine.verl.tokens import PromptCounter, with_placeholders
from medical_rl.engine.vllm.requests import requested_samples
from medical_rl.errors import UserError
from medical_rl.images import decode, image_size

NEEDED = {"image processor": "image_processor", "chat template": "chat_template"}


def chat_turns(sample, request: Mapping) -> list[dict[str, str]]:
    """The chat turns that the request asks of a row, `<image>` where its images stand."""
    return request.get("messages") or messages(sample, request["prompt"])


def takes_limits(processor) -> bool:
    """True for the Qwen-VL family, whose images are resized to the run's pixel limits and counted exactly.

    Any other model sees the images as they are, resized by its own processor.
    """
    return type(processor.image_processor).__name__.startswith("Qwen2VL")


def longest_row(request: Mapping, processor) -> tuple[int | None, int]:
    """(prompt tokens of the longest row, images of the row with most): vLLM must take every row.

    None tokens where they cannot be counted from the images' sizes.
    """
    counter = PromptCounter(processor, request["limits"]) if takes_limits(processor) else None
    tokens, images = (0 if counter else None), 1
    for sample in requested_samples(request):
        images = max(images, len(sample.images))
        if counter:
            count = counter.count(chat_turns(sample, request), list(map(image_size, sample.images)))
            tokens = max(tokens, count)
    return tokens, images


def load_processor(model: str):
    """The model's processor.

    Raises UserError for a model without images or without a chat format: nothing could be asked of it.
    """
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(model)
    missing = [what for what, name in NEEDED.items() if getattr(processor, name, None) is None]
    if missing:
        raise UserError(
            f"{model} cannot be evaluated: it has no {' and no '.join(missing)}. Give a chat model that takes "
            "images, in the format of Hugging Face transformers."
        )
    return processor


def new_engine(request: Mapping, **options: Any):
    """vLLM's engine of the request's model: one process and no graphs on CPU, tensor parallel on GPUs."""
    from vllm import LLM

    cpu = request["device"] == "cpu"
    if cpu:
        layout = {"distributed_executor_backend": "uni"}
    else:
        layout = {"tensor_parallel_size": int(request["gpus"])}
    return LLM(
        model=request["model"],
        dtype=request["dtype"],
        seed=int(request["seed"]),
        enforce_eager=cpu,
        gpu_memory_utilization=float(request["gpu_memory_utilization"]),
        disable_log_stats=True,
        **layout,
        **options,
    )


def load_engine(request: Mapping, processor, room: int):
    """The vLLM engine of the request's model, with room for the longest row and `room` tokens after it."""
    tokens, images = longest_row(request, processor)
    # -1: as long as the model allows and memory has room for
    options: dict[str, Any] = {"max_model_len": -1 if tokens is None else tokens + room}
    if request["device"] == "cpu":
        # A prompt that is read in parts turns its seeded random stream back, which torch's CPU generator
        # cannot.
        options["enable_chunked_prefill"] = False
        options["max_num_batched_tokens"] = max(8192, options["max_model_len"])
    return new_engine(request, limit_mm_per_prompt={"image": images}, **options)


def prompts(samples: Sequence, request: Mapping, processor) -> list[dict]:
    """What vLLM takes for each sample: the chat text and its images, resized as in training."""
    inputs = []
    for sample in samples:
        turns = []
        for turn in chat_turns(sample, request):
            turns.append({"role": turn["role"], "content": with_placeholders(turn["content"])})
        text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        images = [resized_image(data, processor, request["limits"]) for data in sample.images]
        inputs.append(prompt_input(text, images))
    return inputs


def prompt_input(text: str, images: list) -> dict:
    """What vLLM takes for one prompt: its text, and its PIL images where it has any."""
    return {"prompt": text, "multi_modal_data": {"image": images}} if images else {"prompt": text}


def resized_image(data: bytes, processor, limits: Mapping):
    """A PIL image: resized to `limits` for a processor that takes them, else as it is."""
    from qwen_vl_utils.vision_process import fetch_image

    image = decode(data)
    if not takes_limits(processor):
        return image
    return fetch_image({"image": image, **limits}, image_patch_size=processor.image_processor.patch_size)
