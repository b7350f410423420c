"""Exact prompt lengths from text and image headers: what the rollout will see, without decoding an image.

verl's overlong filter decodes and processes every image, which takes hours on large sets.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from qwen_vl_utils.vision_process import smart_resize as first_resize
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize as second_resize

from medical_rl.images import image_size


def visual_tokens(size: tuple[int, int], limits: Mapping[str, int], image_processor) -> int:
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


def with_placeholders(content: str) -> list[dict]:
    """A message's content as typed parts: each `<image>` an image part, the text between them text parts.

    >>> with_placeholders("<image>What is it?")
    [{'type': 'image'}, {'type': 'text', 'text': 'What is it?'}]
    """
    parts: list[dict] = []
    for i, text in enumerate(content.split("<image>")):
        parts += [{"type": "image"}] if i else []
        parts += [{"type": "text", "text": text}] if text else []
    return parts


class PromptCounter:
    """Counts prompt tokens; texts that differ in their images only are tokenised once, sizes of images looked up."""

    def __init__(self, processor, limits: Mapping[str, int], template_settings: Mapping | None = None):
        self.processor, self.limits, self.settings = processor, dict(limits), dict(template_settings or {})
        self.texts: dict[tuple, int] = {}
        self.images: dict[tuple[int, int], int] = {}

    def count(self, messages: Sequence[Mapping], sizes: Sequence[tuple[int, int]]) -> int:
        """Tokens of `messages` (content with `<image>`) whose images have `sizes` (height, width), generation prompt included."""
        name = tuple((m["role"], m["content"]) for m in messages)
        if name not in self.texts:
            turns = [{"role": role, "content": with_placeholders(content)} for role, content in name]
            text = self.processor.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=False, **self.settings
            )
            self.texts[name] = len(self.processor.tokenizer(text=text, add_special_tokens=False)["input_ids"])
        return (
            self.texts[name] + sum(map(self._image, sizes)) - len(sizes)
        )  # the text holds one token an image

    def _image(self, size: tuple[int, int]) -> int:
        if size not in self.images:
            self.images[size] = visual_tokens(size, self.limits, self.processor.image_processor)
        return self.images[size]


def header_sizes(column: pa.ChunkedArray) -> Iterator[list[tuple[int, int]]]:
    """The (height, width) of every row's images, from an arrow column of lists of `{bytes, ...}`; no image is copied."""
    for chunk in column.chunks:
        encoded = pc.struct_field(chunk.flatten(), "bytes")
        sizes = (image_size(memoryview(picture.as_buffer()).cast("B")) for picture in encoded)
        for length in pc.fill_null(chunk.value_lengths(), 0).to_pylist():
            yield list(itertools.islice(sizes, length))
