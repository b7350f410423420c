"""RL rows for verl: image size limits in every image, an exact token count, nothing dropped unsaid.

transformers ignores `max_pixels` unless `min_pixels` is given too, and verl's SFT ignores
`mm_processor_kwargs`; limits written into each image dict are honoured by both.
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

from verl.utils.dataset.rl_dataset import RLHFDataset

from medical_rl.engine.verl.tokens import PromptCounter, header_sizes
from medical_rl.images import image_size

ROWS_AT_ONCE = 512


class MedicalDataset(RLHFDataset):
    """verl's RL dataset with image limits from `data.{min_pixels,max_pixels}` and a reported overlong filter.

    `data.overlong_report` names the folder in which rows left out for their length are listed,
    `overlong-<file>.json`.
    """

    @property
    def limits(self) -> dict:
        """{"min_pixels", "max_pixels"} of the configuration, those that are set."""
        return {k: int(self.config[k]) for k in ("min_pixels", "max_pixels") if self.config.get(k)}

    def _build_messages(self, example: dict, key: str):
        images = example.get(self.image_key) or []
        example[self.image_key] = [
            {k: v for k, v in image.items() if k == "bytes" or v} | self.limits
            if isinstance(image, dict)
            else image
            for image in images
        ]
        return super()._build_messages(example, key)

    def token_count(self, row: dict) -> int:
        """Prompt tokens of `row` as the rollout will see them."""
        sizes = [image_size(image["bytes"]) for image in row.get(self.image_key) or []]
        return self._counter().count(row[self.prompt_key], sizes)

    def _counter(self) -> PromptCounter:
        return PromptCounter(self.processor, self.limits, self.apply_chat_template_kwargs)

    def _token_counts(self, dataframe) -> list[int]:
        """`token_count` of every row; the images stay where Arrow has them, as rows would be copies of all columns."""
        counter, counts = self._counter(), []
        pictured = self.image_key in dataframe.column_names
        columns = dataframe.select_columns([self.prompt_key, *([self.image_key] if pictured else [])])
        for table in columns.with_format("arrow").iter(ROWS_AT_ONCE):
            chats = table[self.prompt_key].to_pylist()
            sizes = header_sizes(table[self.image_key]) if pictured else itertools.repeat([], len(chats))
            counts += [counter.count(chat, size) for chat, size in zip(chats, sizes, strict=True)]
        return counts

    def maybe_filter_out_long_prompts(self, dataframe=None):
        """The rows of at most `max_prompt_length` tokens; the others are counted, printed and listed.

        Raises ValueError where fewer than a training batch (or no validation row) is left: verl would
        divide by zero.
        """
        if not self.filter_overlong_prompts or self.processor is None:
            return super().maybe_filter_out_long_prompts(dataframe)
        counts = self._token_counts(dataframe)
        kept = [i for i, count in enumerate(counts) if count <= self.max_prompt_length]
        removed = [i for i, count in enumerate(counts) if count > self.max_prompt_length]
        self._report(dataframe, counts, removed)
        needed = int(self.config.get("train_batch_size") or 1) if self._is_train() else 1
        if len(kept) < needed:
            raise ValueError(
                f"{len(removed)} of {len(counts)} rows of {self.original_data_files} exceed data.max_prompt_length="
                f"{self.max_prompt_length} tokens (the longest has {max(counts, default=0)}), and {len(kept)} are left where "
                f"{needed} are needed. Raise data.max_prompt_length or lower conf.model.max_pixels."
            )
        return dataframe.select(kept, keep_in_memory=True) if removed else dataframe

    def _is_train(self) -> bool:
        files = self.config.get("train_files")
        names = [files] if isinstance(files, str) else list(files or [])
        return [str(f) for f in self.original_data_files] == [str(n) for n in names]

    def _report(self, dataframe, counts: list[int], removed: list[int]) -> None:
        said = f"{len(removed)} of {len(counts)} rows exceed {self.max_prompt_length} prompt tokens"
        print(f"overlong filter: {said} (longest {max(counts, default=0)})")
        folder = self.config.get("overlong_report")
        if not folder:
            return
        target = Path(folder) / f"overlong-{Path(str(self.original_data_files[0])).stem}.json"
        if not removed:
            target.unlink(missing_ok=True)
            return
        rows = [
            {"id": (dataframe[i].get("extra_info") or {}).get("id", i), "tokens": counts[i]} for i in removed
        ]
        scratch = target.with_suffix(f".{os.getpid()}.tmp")
        scratch.write_text(json.dumps({"limit": self.max_prompt_length, "removed": rows}, indent=1))
        scratch.replace(target)
