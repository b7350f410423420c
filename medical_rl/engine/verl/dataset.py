"""Rows for verl: RL rows with image limits and an exact token count; SFT rows processed once.

transformers ignores `max_pixels` unless `min_pixels` is given too, and verl's SFT ignores
`mm_processor_kwargs`; limits written into each image dict are honoured by both.
"""

import itertools
from pathlib import Path

import torch
from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset
from verl.utils.dataset.rl_dataset import RLHFDataset

from medical_rl.engine.verl.tokens import PromptCounter, header_sizes
from medical_rl.images import image_size
from medical_rl.run.files import write_json

ROWS_AT_ONCE = 512
SFT_CACHE_BYTES = 1 << 30  # of processed rows held by one process


class MedicalDataset(RLHFDataset):
    """verl's RL dataset with image limits, `data.{min_pixels,max_pixels}`, and a reported overlong filter.

    `data.overlong_report` names the folder in which rows left out for their length are listed,
    `overlong-<file>.json`.
    """

    @property
    def limits(self) -> dict:
        """{"min_pixels", "max_pixels"} of the configuration, those that are set."""
        return {
            name: int(self.config[name]) for name in ("min_pixels", "max_pixels") if self.config.get(name)
        }

    def _build_messages(self, example: dict, key: str):
        images, limits = [], self.limits
        for image in example.get(self.image_key) or []:
            if isinstance(image, dict):
                image = {name: value for name, value in image.items() if name == "bytes" or value} | limits
            images.append(image)
        example[self.image_key] = images
        return super()._build_messages(example, key)

    def token_count(self, row: dict) -> int:
        """Prompt tokens of `row` as the rollout will see them."""
        sizes = [image_size(image["bytes"]) for image in row.get(self.image_key) or []]
        return self._counter().count(row[self.prompt_key], sizes)

    def _counter(self) -> PromptCounter:
        return PromptCounter(self.processor, self.limits, self.apply_chat_template_kwargs)

    def _token_counts(self, dataframe) -> list[int]:
        """`token_count` of every row; images stay where Arrow has them, as rows would be copies."""
        counter, counts = self._counter(), []
        with_images = self.image_key in dataframe.column_names
        columns = [self.prompt_key, self.image_key] if with_images else [self.prompt_key]
        for table in dataframe.select_columns(columns).with_format("arrow").iter(ROWS_AT_ONCE):
            chats = table[self.prompt_key].to_pylist()
            sizes = header_sizes(table[self.image_key]) if with_images else itertools.repeat([], len(chats))
            for chat, image_sizes in zip(chats, sizes, strict=True):
                counts.append(counter.count(chat, image_sizes))
        return counts

    def maybe_filter_out_long_prompts(self, dataframe=None):
        """The rows of at most `max_prompt_length` tokens; the others are counted, printed and listed.

        Raises ValueError where fewer than a training batch (or no validation row) is left: verl would
        divide by zero.
        """
        if not self.filter_overlong_prompts or self.processor is None:
            return super().maybe_filter_out_long_prompts(dataframe)
        counts, kept, removed = self._token_counts(dataframe), [], []
        for number, count in enumerate(counts):
            (kept if count <= self.max_prompt_length else removed).append(number)
        self._report(dataframe, counts, removed)
        needed = int(self.config.get("train_batch_size") or 1) if self._is_train() else 1
        if len(kept) < needed:
            raise ValueError(
                f"{len(removed)} of {len(counts)} rows of {self.original_data_files} exceed data."
                f"max_prompt_length={self.max_prompt_length} tokens (the longest has {max(counts, default=0)}), "
                f"and {len(kept)} are left where {needed} are needed. Raise data.max_prompt_length or lower conf.model.max_pixels."
            )
        return dataframe.select(kept, keep_in_memory=True) if removed else dataframe

    def _is_train(self) -> bool:
        """True for the training split, which must fill a batch."""
        files = self.config.get("train_files")
        names = [files] if isinstance(files, str) else list(files or [])
        return list(map(str, self.original_data_files)) == list(map(str, names))

    def _report(self, dataframe, counts: list[int], removed: list[int]) -> None:
        """Print how many rows are too long, and list them in the folder of reports."""
        text = f"{len(removed)} of {len(counts)} rows exceed {self.max_prompt_length} prompt tokens"
        print(f"overlong filter: {text} (longest {max(counts, default=0)})")
        folder = self.config.get("overlong_report")
        if not folder:
            return
        target = Path(folder) / f"overlong-{Path(str(self.original_data_files[0])).stem}.json"
        if not removed:
            target.unlink(missing_ok=True)
            return
        rows = []
        for number in removed:
            facts = dataframe[number].get("extra_info") or {}
            rows.append({"id": facts.get("id", number), "tokens": counts[number]})
        write_json(target, {"limit": self.max_prompt_length, "removed": rows})


class CachedSFTDataset(MultiTurnSFTDataset):
    """verl's SFT dataset whose rows are decoded and tokenised once (up to SFT_CACHE_BYTES)."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._rows: dict[int, dict] = {}
        self._room = SFT_CACHE_BYTES

    def __getitem__(self, item):
        if item in self._rows:
            return _copied(self._rows[item])
        row = super().__getitem__(item)
        size = tensor_bytes(row)
        if size <= self._room:
            self._room -= size
            self._rows[item] = _copied(row)
        return row


def tensor_bytes(value) -> int:
    """Bytes of the tensors in a (nested) row."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    return sum(map(tensor_bytes, value.values())) if isinstance(value, dict) else 0


def _copied(row: dict) -> dict:
    """The row with dicts of its own; its tensors are shared, and nothing writes into them."""
    return {name: dict(value) if isinstance(value, dict) else value for name, value in row.items()}
