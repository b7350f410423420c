"""Prepared data as parquet in verl's schema: written whole or not at all, read back as `Sample`s.

`problem` is the user's text with its `<image>` (what EasyR1 reads), `prompt` the same as chat
messages (what verl reads), and `sample` the whole record without images, as JSON.
"""

from __future__ import annotations

import collections
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medical_rl.data import arrow, images, prompts
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


def write_split(
    samples: Iterable[Sample],
    path: Path | str,
    prompt_cfg: Mapping,
    *,
    rows_per_group: int = 512,
    max_pixels_per_row_group: int = 256_000_000,
) -> dict:
    """`{"rows": n, "labels": {answer: n}}` after writing `samples` to `path`, streamed and atomic.

    A row group ends at `rows_per_group` rows or at `max_pixels_per_row_group` pixels, whichever
    comes first: that bounds the memory of the writer and of every reader.
    """
    labels: collections.Counter[str] = collections.Counter()
    with replacing(path) as temporary, pq.ParquetWriter(temporary, SCHEMA) as writer:
        rows: list[tuple[Sample, list[dict]]] = []
        pixels = 0
        for sample in samples:
            rows.append((sample, prompts.messages(sample, prompt_cfg)))
            labels[sample.answer] += 1
            pixels += _pixels(sample)
            if len(rows) >= rows_per_group or pixels >= max_pixels_per_row_group:
                writer.write_table(arrow.table(_columns(rows, labels.total() - len(rows)), SCHEMA))
                rows, pixels = [], 0
        if rows:
            writer.write_table(arrow.table(_columns(rows, labels.total() - len(rows)), SCHEMA))
    return {"rows": labels.total(), "labels": dict(sorted(labels.items()))}


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary path in the same folder that becomes `path` on success and is removed on any failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_samples(path: Path | str, with_images: bool = True) -> Iterator[Sample]:
    """The samples of a prepared file in order, images put back unless told not to, one row group in memory at a time."""
    columns = ("sample", "images") if with_images else ("sample",)
    with _opened(path, needed=columns) as file:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group, columns=list(columns)).to_pylist():
                yield Sample.from_json(row["sample"], tuple(image["bytes"] for image in row.get("images") or ()))


def count_rows(path: Path | str) -> int:
    """The number of rows, from the file's footer."""
    with _opened(path) as file:
        return file.metadata.num_rows


def check_columns(path: Path | str) -> None:
    """None if verl can read `path`; else a UserError that names the missing columns or the bad row.

    verl itself drops a row whose `<image>` count differs from its images, or stops in the middle of training.
    """
    with _opened(path, needed=SCHEMA.names) as file:
        if file.metadata.num_rows == 0:
            raise UserError(f"{path} has the right columns and no rows; there is nothing to train on or to test.")
        row = 0
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["prompt", "images"])
            have = pc.fill_null(pc.list_value_length(table["images"]), 0).to_pylist()
            for messages, images_count in zip(table["prompt"].to_pylist(), have, strict=True):
                asked = sum(message["content"].count(prompts.IMAGE) for message in messages or ())
                if asked != images_count:
                    raise UserError(
                        f"Row {row} of {path} has {asked} {prompts.IMAGE} in its prompt and {images_count} images; "
                        "the two must be equal. Prepare the file again."
                    )
                row += 1


@contextlib.contextmanager
def _opened(path: Path | str, needed: Iterable[str] = ()) -> Iterator[pq.ParquetFile]:
    """The parquet file with the `needed` columns, each of the type we write."""
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {Path(path).absolute()}; prepare the data first.") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} cannot be read as parquet: {error}.") from error
    with file:
        schema = file.schema_arrow
        if missing := [name for name in needed if name not in schema.names]:
            raise UserError(f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(schema.names)}.")
        for name in needed:
            if not _alike(schema.field(name).type, SCHEMA.field(name).type):
                raise UserError(
                    f"Column {name} of {path} is {schema.field(name).type}, but should be {SCHEMA.field(name).type}."
                )
        yield file


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


def _columns(rows: Sequence[tuple[Sample, list[dict]]], first: int) -> dict:
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


def _pixels(sample: Sample) -> int:
    """Pixels of all images; also the proof that each has a readable header before it is written."""
    total = 0
    for number, data in enumerate(sample.images):
        try:
            height, width = images.image_size(data)
        except UserError as error:
            raise UserError(f"Image {number} of sample {sample.id!r}: {error}") from error
        total += height * width
    return total
