"""Whether the columns that verl and EasyR1 read say the same as the `sample` that rewards and reports read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq

COLUMNS = ("data_source", "prompt", "reward_model", "extra_info", "problem", "answer", "sample")


def disagreements(path: Path) -> Iterator[tuple[str, str, str]]:
    """(level, what disagrees, the row and its two values), of a file whose columns are there and can be read back."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group, columns=list(COLUMNS)).to_pylist():
                sample = json.loads(row["sample"])
                for column, told, meant in (compared := list(_compared(row, sample))):
                    if told != meant:
                        where = f"{sample['id']}: {_short(told)}, not {_short(meant)}"
                        yield "error", f"{column} is not what its sample says", where
                if compared[-1][1] == compared[-1][2] and _plain(sample["question"]) not in _plain(row["problem"]):
                    # A template may have words of its own, so that it is a person who must look.
                    yield "warning", "the problem does not hold its sample's question", sample["id"]


def _compared(row: Mapping, sample: Mapping) -> Iterator[tuple[str, object, object]]:
    """(column, its value, the value it should have)."""
    extra, model = row["extra_info"] or {}, row["reward_model"] or {}
    yield "reward_model.ground_truth", model.get("ground_truth"), sample["answer"]
    yield "answer", row["answer"], sample["answer"]
    yield "data_source", row["data_source"], sample["source"]
    yield "extra_info.id", extra.get("id"), sample["id"]
    yield "extra_info.split", extra.get("split"), sample["split"]
    # The template is not known here: EasyR1's text is held against verl's, which holds the images' places.
    yield "problem", row["problem"], (row["prompt"] or [{}])[-1].get("content")


def _plain(text: str | None) -> str:
    """The letters and digits: a template may wrap a question, and marks of images in it are made plain."""
    return "".join(filter(str.isalnum, text or ""))


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
