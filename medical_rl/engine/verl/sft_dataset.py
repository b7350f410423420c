"""verl's SFT dataset that processes each row once: later epochs take it from memory while there is room."""

from __future__ import annotations

import torch
from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

ROOM = 1 << 30  # bytes of processed rows kept by one process


def size_of(value) -> int:
    """Bytes of the tensors in a (nested) row."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(size_of(v) for v in value.values())
    return 0


class RememberingSFTDataset(MultiTurnSFTDataset):
    """MultiTurnSFTDataset whose rows, equal in every epoch, are decoded and tokenised once (up to ROOM bytes)."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._rows: dict[int, dict] = {}
        self._room = ROOM

    def __getitem__(self, item):
        if item in self._rows:
            return _copied(self._rows[item])
        row = super().__getitem__(item)
        if (size := size_of(row)) <= self._room:
            self._room -= size
            self._rows[item] = _copied(row)
        return row


def _copied(row: dict) -> dict:
    """The row with dicts of its own; its tensors are shared, and nothing writes into them."""
    return {k: dict(v) if isinstance(v, dict) else v for k, v in row.items()}
