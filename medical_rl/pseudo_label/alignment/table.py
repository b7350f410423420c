"""Preference pairs as TRL wants them: a table whose images are decoded when their batch comes, and the batch's tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from datasets import Dataset
from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

from medical_rl.errors import UserError
from medical_rl.pseudo_label.alignment.chat import completion_text, decoded, prompt_text

COLUMNS = ["id", "messages", "images", "chosen", "rejected"]


def load(path: Path | str, cache: Path | str) -> Dataset:
    """The pairs of a file, on disk and not in memory; UserError where there are none, or a row is no pair."""
    if pq.read_metadata(path).num_rows == 0:
        raise UserError(f"{path} has no preference pairs: there is nothing to align on.")
    rows = Dataset.from_parquet(str(path), columns=COLUMNS, cache_dir=str(cache))
    if rows.data.column("rejected").null_count:
        raise UserError(
            f"{path} has rows without a rejected answer: it is a file of measured rows, not of training pairs."
        )
    return rows


class Collator:
    """A list of rows as one batch. Nothing is cut: TRL's max_length would silently leave pairs without their answers."""

    def __init__(self, processor):
        self.processor = processor
        self.inner = DataCollatorForVisionPreference(processor=processor, max_length=None)

    def __call__(self, rows: Sequence[Mapping]):
        return self.inner([preference(self.processor, row) for row in rows])


def preference(processor, row: Mapping) -> dict:
    """A row as TRL's preference in plain text (its own use of the chat template would add a line break to each answer)."""
    sides = {side: completion_text(processor, row["messages"], row[side]) for side in ("chosen", "rejected")}
    return {
        "images": decoded(row["id"], row["images"]),
        "prompt": prompt_text(processor, row["messages"]),
        **sides,
    }
