"""Rows as the model's inputs: tokens of two turns, pixels, batches padded on either side."""

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
from medical_rl.rewards.reward_model_client import chat_turns
from medical_rl.sample import Sample

CACHE_BYTES = 256 << 20  # pixels kept, so that an image with several texts is processed once
LIMITS = ("min_pixels", "max_pixels")


def load_processor(folder: Path | str, limits: Mapping[str, int] | None = None):
    """The processor of `folder`, with `limits` (min_pixels, max_pixels) in place of its own."""
    changed = image_limits_of(limits) if limits else {}
    return AutoProcessor.from_pretrained(folder, **changed)


@dataclasses.dataclass(frozen=True)
class Pixels:
    """A processed image: the hash of its file, its patches, and its grid (time, height, width) in patches."""

    key: bytes
    patches: torch.Tensor
    grid: torch.Tensor


class Encoder:
    """Turns (sample, text) into tensors. Raises UserError, which names the row, for one that cannot be."""

    def __init__(self, processor):
        self.processor = processor
        self.image_token = processor.image_token_id
        self.padding = processor.tokenizer.pad_token_id
        self._pixels: OrderedDict[bytes, Pixels] = OrderedDict()
        self._cached_bytes = 0

    def length(self, sample: Sample, text: str) -> int:
        """Tokens of the row, from the text and the image headers: no image is decoded."""
        images = self.processor.image_processor
        length = len(self._tokens(sample, text))
        for data in sample.images:
            patches = images.get_number_of_image_patches(*_size(sample, data), {})
            length += patches // images.merge_size**2 - 1  # the text holds one token an image
        return length

    def encode(self, sample: Sample, text: str) -> dict:
        """{"input_ids", "before", "images"}: all tokens, how many precede the response, processed images.

        Nothing is cut, as the last token is what is scored.
        """
        images = [self._image(sample, data) for data in sample.images]
        merged = self.processor.image_processor.merge_size**2
        waiting = iter(images)
        short, ids = self._tokens(sample, text), []
        for token in short:
            is_image = token == self.image_token
            ids += [token] * (int(next(waiting).grid.prod()) // merged if is_image else 1)
        question = self._question(sample.question, len(images))
        shared = 0
        while shared < min(len(question), len(short)) and question[shared] == short[shared]:
            shared += 1
        return {"input_ids": ids, "before": shared + len(ids) - len(short), "images": images}

    @functools.lru_cache(maxsize=1024)  # noqa: B019  an encoder lives as long as its process
    def _question(self, question: str, images: int) -> list[int]:
        """Tokens up to where a response begins; a merge may take in its last one."""
        chat = chat_turns(question, "", [{"type": "image"}] * images)[:1]
        return self._ids(self.processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))

    def _tokens(self, sample: Sample, text: str) -> list[int]:
        chat = chat_turns(sample.question, text, [{"type": "image"}] * len(sample.images))
        ids = self._ids(self.processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=False))
        places = ids.count(self.image_token)
        if places != len(sample.images):
            raise UserError(
                f"The row {sample.id!r} has {len(sample.images)} images, and its turns hold {places} places "
                "for one: the chat template of this model is not Qwen2.5-VL's."
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
            processed = self.processor.image_processor(images=[decode(data)], return_tensors="pt")
        except (UserError, ValueError) as error:  # ValueError: the processor refuses extreme proportions
            raise UserError(f"An image of the row {sample.id!r} cannot be used: {error}") from error
        image = Pixels(key, processed["pixel_values"], processed["image_grid_thw"][0])
        self._pixels[key] = image
        self._cached_bytes += image.patches.nbytes
        while self._cached_bytes > CACHE_BYTES and len(self._pixels) > 1:
            _, oldest = self._pixels.popitem(last=False)
            self._cached_bytes -= oldest.patches.nbytes
        return image


def _size(sample: Sample, data: bytes) -> tuple[int, int]:
    try:
        return image_size(data)
    except UserError as error:
        raise UserError(f"An image of the row {sample.id!r} cannot be used: {error}") from error


def collate(
    rows: Sequence[Mapping], padding: int, image_token: int, side: str = "right"
) -> dict[str, torch.Tensor]:
    """One padded batch: token tensors of shape (rows, tokens), and the images, each once.

    pixel_values, image_grid_thw  of the different images
    image_of                      which of them stands at each place, row by row
    """
    width = max(len(row["input_ids"]) for row in rows)
    ids = torch.full((len(rows), width), padding)
    mask = torch.zeros_like(ids)
    images: list[Pixels] = []
    for i, row in enumerate(rows):
        length = len(row["input_ids"])
        columns = slice(0, length) if side == "right" else slice(width - length, width)
        ids[i, columns] = torch.tensor(row["input_ids"])
        mask[i, columns] = 1
        images += row["images"]
    batch = {
        "input_ids": ids,
        "attention_mask": mask,
        "mm_token_type_ids": (ids == image_token).to(torch.int32),
    }
    if images:
        different = list({image.key: image for image in images}.values())
        numbers = {image.key: number for number, image in enumerate(different)}
        batch["pixel_values"] = torch.cat([image.patches for image in different])
        batch["image_grid_thw"] = torch.stack([image.grid for image in different])
        batch["image_of"] = torch.tensor([numbers[image.key] for image in images])
    return batch


def to_device(batch: Mapping, device) -> dict:
    """The batch with every tensor on `device`."""
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def image_limits_of(request: Mapping) -> dict[str, int]:
    """{"min_pixels", "max_pixels"} of a request."""
    return {name: int(request[name]) for name in LIMITS}
