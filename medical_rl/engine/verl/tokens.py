"""Prompt lengths from text and image headers, and responses decoded by a table of bytes.

verl's overlong filter decodes and processes every image, which takes hours on large sets. And a reward is
asked for one response at a time, where the tokenizer's own `decode` costs more than all the rest of scoring.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from qwen_vl_utils.vision_process import smart_resize as first_resize
from transformers.convert_slow_tokenizer import bytes_to_unicode
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
    bounds = {"min_pixels": own["shortest_edge"], "max_pixels": own["longest_edge"]}
    height, width = second_resize(height, width, factor=factor, **bounds)
    return (height // factor) * (width // factor)


def with_placeholders(content: str) -> list[dict]:
    """A message's content as typed parts: each `<image>` an image part, the text between them text parts.

    >>> with_placeholders("<image>What is it?")
    [{'type': 'image'}, {'type': 'text', 'text': 'What is it?'}]
    """
    parts: list[dict] = []
    for number, text in enumerate(content.split("<image>")):
        if number:
            parts.append({"type": "image"})
        if text:
            parts.append({"type": "text", "text": text})
    return parts


class PromptCounter:
    """Counts prompt tokens; a text is tokenised once whatever its images, and sizes are looked up."""

    def __init__(self, processor, limits: Mapping[str, int], template_settings: Mapping | None = None):
        self.processor, self.limits, self.settings = processor, dict(limits), dict(template_settings or {})
        self.texts: dict[tuple, int] = {}
        self.images: dict[tuple[int, int], int] = {}

    def count(self, messages: Sequence[Mapping], sizes: Sequence[tuple[int, int]]) -> int:
        """Tokens of `messages` with images of `sizes` (height, width), generation prompt included."""
        key = tuple((message["role"], message["content"]) for message in messages)
        if key not in self.texts:
            turns = [{"role": role, "content": with_placeholders(content)} for role, content in key]
            text = self.processor.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=False, **self.settings
            )
            self.texts[key] = len(self.processor.tokenizer(text=text, add_special_tokens=False)["input_ids"])
        return self.texts[key] + sum(map(self._image, sizes)) - len(sizes)  # the text has one token an image

    def _image(self, size: tuple[int, int]) -> int:
        if size not in self.images:
            self.images[size] = visual_tokens(size, self.limits, self.processor.image_processor)
        return self.images[size]


def header_sizes(column: pa.ChunkedArray) -> Iterator[list[tuple[int, int]]]:
    """The (height, width) of every row's images, from an arrow column of `{bytes, ...}`, none copied."""
    for chunk in column.chunks:
        encoded = pc.struct_field(chunk.flatten(), "bytes")
        sizes = (image_size(memoryview(picture.as_buffer()).cast("B")) for picture in encoded)
        for length in pc.fill_null(chunk.value_lengths(), 0).to_pylist():
            yield list(itertools.islice(sizes, length))


def response_decoder(tokenizer) -> Callable[[Sequence[int]], str]:
    """A function from token ids to text, equal to `tokenizer.decode(ids, skip_special_tokens=True)`.

    A response with a token that is not in the table and a tokenizer of another kind decode by the tokenizer
    itself.
    """
    table = byte_table(tokenizer)

    def decode(ids: Sequence[int]) -> str:
        try:
            return b"".join(map(table.__getitem__, ids)).decode("utf-8", errors="replace")
        except (IndexError, TypeError):  # beyond the table, or None in it
            return tokenizer.decode(ids, skip_special_tokens=True)

    return decode if table else lambda ids: tokenizer.decode(ids, skip_special_tokens=True)


def byte_table(tokenizer) -> list[bytes | None]:
    """Each token's bytes by its id, b"" for special tokens, None where the tokenizer must be asked.

    None is an added token that is text: the tokenizer puts it together with its neighbours in its own way.
    The table is empty if the tokenizer is not plain byte-level BPE (as Qwen's is).
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if type(getattr(backend, "decoder", None)).__name__ != "ByteLevel":
        return []
    if getattr(tokenizer, "clean_up_tokenization_spaces", False):
        return []
    byte_of = {letter: byte for byte, letter in bytes_to_unicode().items()}
    added, vocabulary = set(tokenizer.added_tokens_decoder), tokenizer.get_vocab()
    table: list[bytes | None] = [None] * (max(vocabulary.values()) + 1)
    for token, number in vocabulary.items():
        if number not in added and byte_of.keys() >= set(token):
            table[number] = bytes(map(byte_of.get, token))
    for number in tokenizer.all_special_ids:
        table[number] = b""
    return table
