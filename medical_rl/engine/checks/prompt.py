"""One real prompt through the model's own processor, its tokens compared with those that we count.

    python -m medical_rl.engine.checks.prompt REQUEST.json

Prompts are counted from text and image headers (tokens.py), by the arithmetic of Qwen's image processor. A
model of another family would be met at the start of GRPO, after its warm start was paid for.
"""

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
from omegaconf import OmegaConf
from PIL import Image
from qwen_vl_utils import fetch_image
from transformers import AutoImageProcessor, AutoProcessor

from medical_rl.engine.verl.tokens import PromptCounter, with_placeholders
from medical_rl.errors import UserError
from medical_rl.images import image_size
from medical_rl.run.files import write_json

KNOWN = "Qwen2-VL, Qwen2.5-VL and Qwen3-VL"


def refuse_uncountable(model: str, rows: Path, data: Mapping) -> None:
    """Raise UserError where GRPO could not count the tokens of `model`'s prompts (see prompt_problem)."""
    problem = prompt_problem(model, rows, data)
    if problem:
        raise UserError(problem)


def prompt_problem(model: str, rows: Path, data: Mapping) -> str | None:
    """A sentence on what is wrong with the first prompt of `rows` under `model`; None where nothing is.

    data  verl's data settings: min_pixels, max_pixels, apply_chat_template_kwargs
    """
    try:
        images = AutoImageProcessor.from_pretrained(model)
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        return f"The image processor of {model} cannot be loaded: {str(error).splitlines()[0]}"
    size = getattr(images, "size", None) or {}
    edges = [size.get(name) for name in ("shortest_edge", "longest_edge")]
    if not all([getattr(images, "patch_size", None), getattr(images, "merge_size", None), *edges]):
        return (
            f"The tokens of an image cannot be counted for {model}: its image processor is "
            f"{type(images).__name__}, which does not cut an image of any proportions into merged patches as "
            f"Qwen's does. Families that are known to work in GRPO: {KNOWN}."
        )
    try:
        processor = AutoProcessor.from_pretrained(model)
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        return f"The processor of {model} cannot be loaded: {str(error).splitlines()[0]}"
    row = next(pq.ParquetFile(rows).iter_batches(batch_size=1)).to_pylist()[0]
    encoded = [image["bytes"] for image in row.get("images") or []]
    limits = {name: int(data[name]) for name in ("min_pixels", "max_pixels") if data.get(name)}
    settings = dict(data.get("apply_chat_template_kwargs") or {})
    counted = PromptCounter(processor, limits, settings).count(row["prompt"], [*map(image_size, encoded)])
    turns = [{**turn, "content": with_placeholders(turn["content"])} for turn in row["prompt"]]
    text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False, **settings)
    pictures = []
    for data_of_one in encoded:
        asked = {"image": Image.open(io.BytesIO(data_of_one)), **limits}
        pictures.append(fetch_image(asked, image_patch_size=images.patch_size))
    true = len(processor(text=[text], images=pictures or None)["input_ids"][0])
    if counted == true:
        return None
    return (
        f"A prompt of {rows} has {true} tokens under the processor of {model} and {counted} by our count, so "
        f"that GRPO would leave out the wrong rows. Families that are known to work: {KNOWN}."
    )


def main(request_file: Path) -> None:
    """Write the list of problems to the request's `answer`."""
    request = json.loads(request_file.read_text(encoding="utf-8"))
    data = OmegaConf.load(request_file.with_name("config.yaml")).data
    problem = prompt_problem(request["model"], Path(request["rows"]), data)
    write_json(Path(request["answer"]), [problem] if problem else [])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
