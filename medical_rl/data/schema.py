"""The columns of prepared data, verl's: their types, the samples as such columns, and whether a file has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from medical_rl.errors import UserError
from medical_rl.sample import Sample

SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))),
        ("ability", pa.string()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        ("extra_info", pa.struct([("split", pa.string()), ("index", pa.int64()), ("id", pa.string())])),
        ("problem", pa.string()),
        ("answer", pa.string()),
        ("sample", pa.string()),
    ]
)


def columns(rows: Sequence[tuple[Sample, list[dict]]], first: int) -> dict:
    """The columns of SCHEMA, as `arrow.table` takes them, for samples with their chats; `first` is the first row's index."""
    samples, chats = zip(*rows, strict=True)
    turns = [turn for chat in chats for turn in chat]
    pictures = [picture for sample in samples for picture in sample.images]
    answers = [sample.answer for sample in samples]
    return {
        "data_source": [sample.source for sample in samples],
        "prompt": (map(len, chats), {key: [turn[key] for turn in turns] for key in ("role", "content")}),
        "images": ([len(sample.images) for sample in samples], {"bytes": pictures, "path": [None] * len(pictures)}),
        "ability": ["medical"] * len(samples),
        "reward_model": {"style": ["rule"] * len(samples), "ground_truth": answers},
        "extra_info": {
            "split": [sample.split for sample in samples],
            "index": range(first, first + len(samples)),
            "id": [sample.id for sample in samples],
        },
        "problem": [chat[-1]["content"] for chat in chats],
        "answer": answers,
        "sample": [sample.to_json() for sample in samples],
    }


def refuse_other(found: pa.Schema, needed: Iterable[str], path: Path | str, ours: pa.Schema = SCHEMA) -> None:
    """None if `found` has the `needed` columns, each of a type that serves as that of `ours`; else a UserError naming them."""
    if missing := [name for name in needed if name not in found.names]:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(found.names)}.")
    for name in needed:
        got, want = found.field(name).type, ours.field(name).type
        if not _alike(got, want):
            raise UserError(f"Column {name} of {path} is {got}, but should be {want}.")


def _alike(got: pa.DataType, want: pa.DataType) -> bool:
    """Whether `got` serves as `want`: other tools write large strings, or a struct's fields in another order."""
    if pa.types.is_list(want):
        return (pa.types.is_list(got) or pa.types.is_large_list(got)) and _alike(got.value_type, want.value_type)
    if pa.types.is_struct(want):
        if not pa.types.is_struct(got):
            return False
        fields = {field.name: field.type for field in got}
        return all(field.name in fields and _alike(fields[field.name], field.type) for field in want)
    if pa.types.is_string(want):
        return pa.types.is_string(got) or pa.types.is_large_string(got)
    if pa.types.is_binary(want):
        return pa.types.is_binary(got) or pa.types.is_large_binary(got)
    return got == want
