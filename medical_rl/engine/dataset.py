"""RL rows for verl: image size limits in every image, an exact token count, nothing dropped unsaid.

transformers ignores `max_pixels` unless `min_pixels` is given too, and verl's SFT ignores
`mm_processor_kwargs`; limits written into each image dict are honoured by both. verl's overlong
filter decodes and processes every image; here the count comes from the image's header alone
and equals the processor's.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from qwen_vl_utils.vision_process import smart_resize as first_resize
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize as second_resize
from verl.utils.dataset.rl_dataset import RLHFDataset

from medical_rl.data.images import image_size


def visual_tokens(size: tuple[int, int], limits: dict, image_processor) -> int:
    """Number of tokens an image of `size` (height, width) becomes.

    The image is resized twice: by qwen_vl_utils to `limits` (min_pixels, max_pixels), then by the
    processor to its own limits; a token is one merged patch of the result.
    """
    factor = image_processor.patch_size * image_processor.merge_size
    height, width = first_resize(*size, factor=factor, **limits)
    own = image_processor.size
    height, width = second_resize(
        height, width, factor=factor, min_pixels=own["shortest_edge"], max_pixels=own["longest_edge"]
    )
    return (height // factor) * (width // factor)


class MedicalDataset(RLHFDataset):
    """verl's RL dataset with image limits from `data.{min_pixels,max_pixels}` and a reported overlong filter.

    `data.overlong_report` names a JSON file that lists every row left out for its length.
    """

    @property
    def limits(self) -> dict:
        """{"min_pixels", "max_pixels"} of the configuration, those that are set."""
        return {k: int(self.config[k]) for k in ("min_pixels", "max_pixels") if self.config.get(k)}

    def _build_messages(self, example: dict, key: str):
        images = example.get(self.image_key) or []
        example[self.image_key] = [
            {k: v for k, v in image.items() if k == "bytes" or v} | self.limits if isinstance(image, dict) else image
            for image in images
        ]
        return super()._build_messages(example, key)

    def token_count(self, row: dict, cache: dict) -> int:
        """Prompt tokens of `row` as the rollout will see them, from text and image headers only."""
        images = row.get(self.image_key) or []
        placeholders = [{"role": m["role"], "content": _with_placeholders(m["content"])} for m in row[self.prompt_key]]
        name = json.dumps(placeholders)
        if name not in cache:
            text = self.processor.apply_chat_template(
                placeholders, add_generation_prompt=True, tokenize=False, **self.apply_chat_template_kwargs
            )
            cache[name] = len(self.processor.tokenizer(text=text, add_special_tokens=False)["input_ids"])
        processor = self.processor.image_processor
        sizes = [image_size(image["bytes"]) for image in images]
        return cache[name] + sum(visual_tokens(size, self.limits, processor) - 1 for size in sizes)

    def maybe_filter_out_long_prompts(self, dataframe=None):
        """The rows of at most `max_prompt_length` tokens; the others are counted, printed and listed."""
        if not self.filter_overlong_prompts or self.processor is None:
            return super().maybe_filter_out_long_prompts(dataframe)
        cache: dict[str, int] = {}
        counts = [self.token_count(row, cache) for row in dataframe]
        kept = [i for i, count in enumerate(counts) if count <= self.max_prompt_length]
        removed = [i for i, count in enumerate(counts) if count > self.max_prompt_length]
        self._report(dataframe, counts, removed)
        return dataframe.select(kept) if removed else dataframe

    def _report(self, dataframe, counts: list[int], removed: list[int]) -> None:
        longest = max(counts, default=0)
        print(
            f"overlong filter: {len(removed)} of {len(counts)} rows exceed {self.max_prompt_length} prompt tokens (longest {longest})"
        )
        target = self.config.get("overlong_report")
        if removed and target:
            rows = [{"id": (dataframe[i].get("extra_info") or {}).get("id", i), "tokens": counts[i]} for i in removed]
            content = {
                "files": [str(f) for f in self.original_data_files],
                "limit": self.max_prompt_length,
                "removed": rows,
            }
            scratch = Path(f"{target}.{os.getpid()}.tmp")
            scratch.write_text(json.dumps(content, indent=1))
            scratch.replace(target)


def _with_placeholders(content: str) -> list[dict]:
    parts: list[dict] = []
    for i, text in enumerate(content.split("<image>")):
        parts += [{"type": "image"}] if i else []
        parts += [{"type": "text", "text": text}] if text else []
    return parts
