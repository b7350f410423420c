"""Rows as the model's inputs: tokens of the two turns, pixels of the images, batches padded on either side."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from transformers import AutoProcessor

from medical_rl.errors import UserError
from medical_rl.images import decode, image_size
from medical_rl.rewards.reward_model_client import turns
from medical_rl.sample import Sample

CACHE_BYTES = 256 << 20  # pixels kept, so that an image with several texts is processed once
LIMITS = ("min_pixels", "max_pixels")


def load_processor(folder: Path | str, limits: Mapping[str, int] | None = None):
    """The processor of `folder`; its image limits replaced by `limits` (min_pixels and max_pixels), which it then saves."""
    return AutoProcessor.from_pretrained(
        folder, **({name: int(limits[name]) for name in LIMITS} if limits else {})
    )


@dataclasses.dataclass(frozen=True)
class Pixels:
    """A processed image: the hash of its file, its patches, and its grid (time, height, width) in patches."""

    key: bytes
    patches: torch.Tensor
    grid: torch.Tensor


class Encoder:
    """Turns (sample, text) into tensors; UserError names a row that cannot be."""

    def __init__(self, processor):
        self.processor = processor
        self.image_token = processor.image_token_id
        self.padding = processor.tokenizer.pad_token_id
        self._pixels: OrderedDict[bytes, Pixels] = OrderedDict()
        self._held = 0

    def length(self, sample: Sample, text: str) -> int:
        """Tokens of the row, from the text and the image headers: no image is decoded."""
        images = self.processor.image_processor
        patches = [images.get_number_of_image_patches(*_size(sample, data), {}) for data in sample.images]
        # the text holds one token an image
        return len(self._tokens(sample, text)) + sum(n // images.merge_size**2 - 1 for n in patches)

    def encode(self, sample: Sample, text: str) -> dict:
        """{"input_ids", "before", "images"}: all tokens, the number of those before the response, processed images.

        Nothing is cut, as the last token is what is scored.
        """
        images = [self._image(sample, data) for data in sample.images]
        merged = self.processor.image_processor.merge_size**2
        counts = iter([int(image.grid.prod()) // merged for image in images])
        short, ids = self._tokens(sample, text), []
        for token in short:
            ids += [token] * next(counts) if token == self.image_token else [token]
        asked = self._question(sample.question, len(images))
        shared = next((i for i, (a, b) in enumerate(zip(asked, short, strict=False)) if a != b), len(asked))
        return {"input_ids": ids, "before": shared + len(ids) - len(short), "images": images}

    @functools.lru_cache(maxsize=1024)  # noqa: B019  an encoder lives as long as its process
    def _question(self, question: str, images: int) -> list[int]:
        """Tokens up to where a response begins; a merge may take in its last one."""
        asked = turns(question, "", [{"type": "image"}] * images)[:1]
        return self._ids(
            self.processor.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        )

    def _tokens(self, sample: Sample, text: str) -> list[int]:
        both = turns(sample.question, text, [{"type": "image"}] * len(sample.images))
        ids = self._ids(self.processor.apply_chat_template(both, tokenize=False, add_generation_prompt=False))
        if ids.count(self.image_token) != len(sample.images):
            raise UserError(
                f"The row {sample.id!r} has {len(sample.images)} images, and its turns hold {ids.count(self.image_token)} "
                "places for one: the chat template of this model is not Qwen2.5-VL's."
            )
        return ids

    def _ids(self, text: str) -> list[int]:
        return self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _image(self, sample: Sample, data: bytes) -> Pixels:
        key = hashlib.sha256(data).digest()
        if key in self._pixels:
            self._pixels.move_to_end(key)
            return self._pixels[key]
        try:
            found = self.processor.image_processor(images=[decode(data)], return_tensors="pt")
        except (UserError, ValueError) as error:  # ValueError: the processor refuses extreme proportions
            raise UserError(f"An image of the row {sample.id!r} cannot be used: {error}") from error
        self._pixels[key] = image = Pixels(key, found["pixel_values"], found["image_grid_thw"][0])
        self._held += image.patches.nbytes
        while self._held > CACHE_BYTES and len(self._pixels) > 1:
            self._held -= self._pixels.popitem(last=False)[1].patches.nbytes
        return image


def _size(sample: Sample, data: bytes) -> tuple[int, int]:
    try:
        return image_size(data)
    except UserError as error:
        raise UserError(f"An image of the row {sample.id!r} cannot be used: {error}") from error


def collate(
    rows: Sequence[Mapping], padding: int, image_token: int, side: str = "right"
) -> dict[str, torch.Tensor]:
    """One padded batch: input_ids, attention_mask, mm_token_type_ids of shape (rows, tokens), and the images, each once.

    pixel_values, image_grid_thw  of the different images; image_of  which of them stands at each place, row by row
    """
    width = max(len(row["input_ids"]) for row in rows)
    ids = torch.full((len(rows), width), padding)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        length = len(row["input_ids"])
        place = slice(0, length) if side == "right" else slice(width - length, width)
        ids[i, place], mask[i, place] = torch.tensor(row["input_ids"]), 1
    batch = {
        "input_ids": ids,
        "attention_mask": mask,
        "mm_token_type_ids": (ids == image_token).to(torch.int32),
    }
    different = {image.key: image for row in rows for image in row["images"]}
    if different:
        numbers = {key: i for i, key in enumerate(different)}
        batch["pixel_values"] = torch.cat([image.patches for image in different.values()])
        batch["image_grid_thw"] = torch.stack([image.grid for image in different.values()])
        batch["image_of"] = torch.tensor([numbers[image.key] for row in rows for image in row["images"]])
    return batch


def moved(batch: Mapping, device) -> dict:
    """The batch with every tensor on `device`."""
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def limits_of(request: Mapping) -> dict[str, int]:
    """{"min_pixels", "max_pixels"} of a request."""
    return {name: int(request[name]) for name in LIMITS}
