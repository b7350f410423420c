"""Prepared data as parquet in verl's schema: written whole or not at all, read back as `Sample`s.

`problem` is the user's text with its `<image>` (what EasyR1 reads), `prompt` the same as chat
messages (what verl reads), and `sample` the whole record without images, as JSON.

Columns as an arrow table, built leaf by leaf: pyarrow's own walk through nested dicts takes ten times as long.

The columns of prepared data, verl's: their types, the samples as such columns, and whether a file has them.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medical_rl import images
from medical_rl.data import prompts
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
                writer.write_table(table(columns(rows, labels.total() - len(rows)), SCHEMA))
                rows, pixels = [], 0
        if rows:
            writer.write_table(table(columns(rows, labels.total() - len(rows)), SCHEMA))
    return {"rows": labels.total(), "labels": dict(sorted(labels.items()))}


def write_records(
    records: Iterable[Mapping], path: Path | str, schema: pa.Schema, rows_per_group: int = 512
) -> int:
    """Number of records written to `path` under `schema`: streamed, a row group in memory at a time, and atomic."""
    written, waiting = 0, iter(records)
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        while group := list(itertools.islice(waiting, rows_per_group)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            written += len(group)
    return written


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
    for row in read_records(path, SCHEMA, ("sample", "images") if with_images else ("sample",)):
        yield Sample.from_json(row["sample"], tuple(image["bytes"] for image in row.get("images") or ()))


def read_records(path: Path | str, ours: pa.Schema, columns: Iterable[str] | None = None) -> Iterator[dict]:
    """The rows that `write_records` wrote with the schema `ours`, in order, one row group in memory at a time.

    columns  those that are read; all without. UserError for a file that is missing, no parquet, or has other columns.
    """
    columns = list(ours.names if columns is None else columns)
    with _opened(path, columns, ours) as file:
        for group in range(file.num_row_groups):
            yield from file.read_row_group(group, columns=columns).to_pylist()


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
            raise UserError(
                f"{path} has the right columns and no rows; there is nothing to train on or to test."
            )
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
def _opened(
    path: Path | str, needed: Iterable[str] = (), ours: pa.Schema = SCHEMA
) -> Iterator[pq.ParquetFile]:
    """The parquet file with the `needed` columns, each of the type we write in a file of the schema `ours`."""
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {Path(path).absolute()}; prepare the data first.") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} cannot be read as parquet: {error}.") from error
    with file:
        refuse_other(file.schema_arrow, needed, path, ours)
        yield file


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


def table(columns: Mapping, schema: pa.Schema) -> pa.Table:
    """The columns in `schema`: a struct is a mapping of columns, a list is (lengths, what all the lists hold in turn).

    >>> numbers = {"a": ([1, 0, 2], {"b": [1, 2, 3]})}
    >>> table(numbers, pa.schema([("a", pa.list_(pa.struct([("b", pa.int64())])))])).to_pylist()
    [{'a': [{'b': 1}]}, {'a': []}, {'a': [{'b': 2}, {'b': 3}]}]
    """
    return pa.Table.from_arrays([_array(columns[field.name], field.type) for field in schema], schema=schema)


def _array(values: Sequence | Mapping, kind: pa.DataType) -> pa.Array:
    if pa.types.is_list(kind):
        lengths, held = values
        ends = pa.array(list(itertools.accumulate(lengths, initial=0)), pa.int32())
        return pa.ListArray.from_arrays(ends, _array(held, kind.value_type))
    if pa.types.is_struct(kind):
        return pa.StructArray.from_arrays(
            [_array(values[field.name], field.type) for field in kind], fields=list(kind)
        )
    return pa.array(values, kind)


def columns(rows: Sequence[tuple[Sample, list[dict]]], first: int) -> dict:
    """The columns of SCHEMA, as `arrow.table` takes them, for samples with their chats; `first` is the first row's index."""
    samples, chats = zip(*rows, strict=True)
    turns = [turn for chat in chats for turn in chat]
    pictures = [picture for sample in samples for picture in sample.images]
    answers = [sample.answer for sample in samples]
    return {
        "data_source": [sample.source for sample in samples],
        "prompt": (map(len, chats), {key: [turn[key] for turn in turns] for key in ("role", "content")}),
        "images": (
            [len(sample.images) for sample in samples],
            {"bytes": pictures, "path": [None] * len(pictures)},
        ),
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
        return (pa.types.is_list(got) or pa.types.is_large_list(got)) and _alike(
            got.value_type, want.value_type
        )
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
