"""Prepared data as parquet in verl's schema: written whole or not at all, read back as `Sample`s.

`problem` is the user's text with its `<image>` (what EasyR1 reads), `prompt` the same as chat messages (what
verl reads), and `sample` the whole record without images, as JSON.
"""

import collections
import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medical_rl import images
from medical_rl.data import prompts
from medical_rl.data.options import answer_key
from medical_rl.errors import UserError
from medical_rl.run.files import replacing
from medical_rl.sample import Sample

_CHAT = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("prompt", _CHAT),
        ("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))),
        ("ability", pa.string()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        ("extra_info", pa.struct([("split", pa.string()), ("index", pa.int64()), ("id", pa.string())])),
        ("problem", pa.string()),
        ("answer", pa.string()),
        ("sample", pa.string()),
    ]
)

# verl's SFT takes images as dicts only; limits stand in each image because it ignores
# mm_processor_kwargs, and transformers ignores max_pixels without min_pixels.
_SFT_IMAGE = pa.struct([("bytes", pa.binary()), ("min_pixels", pa.int64()), ("max_pixels", pa.int64())])
SFT_SCHEMA = pa.schema([("messages", _CHAT), ("images", pa.list_(_SFT_IMAGE))])


def write_split(
    samples: Iterable[Sample],
    path: Path | str,
    prompt_cfg: Mapping,
    *,
    rows_per_group: int = 512,
    max_pixels_per_row_group: int = 256_000_000,
) -> dict:
    """Write `samples` to `path`, streamed and atomic, and return `{"rows": n, "labels": {answer: n}}`.

    Answers that a reward takes for one are counted as one, under the spelling that came first.
    A row group ends at `rows_per_group` rows or at `max_pixels_per_row_group` pixels, whichever
    comes first: that bounds the memory of the writer and of every reader.
    """
    labels: collections.Counter[str] = collections.Counter()
    spellings: dict[str, str] = {}
    with replacing(path) as temporary, pq.ParquetWriter(temporary, SCHEMA) as writer:
        rows: list[tuple[Sample, list[dict]]] = []
        pixels = written = 0
        for sample in samples:
            rows.append((sample, prompts.messages(sample, prompt_cfg)))
            labels[spellings.setdefault(answer_key(sample), sample.answer)] += 1
            pixels += _pixels(sample)
            if len(rows) >= rows_per_group or pixels >= max_pixels_per_row_group:
                writer.write_table(_table(rows, written))
                written += len(rows)
                rows, pixels = [], 0
        if rows:
            writer.write_table(_table(rows, written))
    return {"rows": labels.total(), "labels": dict(sorted(labels.items()))}


def write_records(
    records: Iterable[Mapping], path: Path | str, schema: pa.Schema, rows_per_group: int = 512
) -> int:
    """Write records to `path` under `schema`, streamed and atomic, and return their number."""
    written, waiting = 0, iter(records)
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        while group := list(itertools.islice(waiting, rows_per_group)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            written += len(group)
    return written


def write_sft_rows(
    source: Path, path: Path, prompt: Mapping, limits: Mapping[str, int], limit: int | None = None
) -> int:
    """Write prompt, images and target of each prepared row of `source` to `path`, and return their number."""
    return write_sft_samples(itertools.islice(read_samples(source), limit), path, prompt, limits)


def write_sft_samples(
    samples: Iterable[Sample], path: Path, prompt: Mapping, limits: Mapping[str, int]
) -> int:
    """Write the warm start's rows, conversations with their images, to `path`, and return their number."""

    def record(sample: Sample) -> dict:
        answer = {"role": "assistant", "content": prompts.target(sample, prompt)}
        pictures = [dict(limits, bytes=data) for data in sample.images]
        return {"messages": prompts.messages(sample, prompt) + [answer], "images": pictures}

    return write_records(map(record, samples), path, SFT_SCHEMA)


def read_samples(path: Path | str, with_images: bool = True) -> Iterator[Sample]:
    """The samples of a prepared file in order, a row group in memory at a time."""
    for row in read_records(path, SCHEMA, ("sample", "images") if with_images else ("sample",)):
        pictures = tuple(image["bytes"] for image in row.get("images") or ())
        yield Sample.from_json(row["sample"], pictures)


def read_records(path: Path | str, ours: pa.Schema, columns: Iterable[str] | None = None) -> Iterator[dict]:
    """The rows of a file with the schema `ours`, in order, a row group in memory at a time.

    columns  those that are read; all without

    Raises UserError for a file that is missing, no parquet, or has other columns.
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
    """Raise UserError, with the missing columns or the bad row, where verl cannot read `path`.

    verl itself drops a row whose `<image>` count differs from its images, or stops in the middle of training.
    """
    with _opened(path, SCHEMA.names) as file:
        if file.metadata.num_rows == 0:
            raise UserError(
                f"{path} has the right columns and no rows; there is nothing to train on or to test."
            )
        row = 0
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["prompt", "images"])
            image_counts = pc.fill_null(pc.list_value_length(table["images"]), 0).to_pylist()
            for chat, image_count in zip(table["prompt"].to_pylist(), image_counts, strict=True):
                places = sum(message["content"].count(prompts.IMAGE) for message in chat or ())
                if places != image_count:
                    raise UserError(
                        f"Row {row} of {path} has {places} {prompts.IMAGE} in its prompt and {image_count} "
                        "images; the two must be equal. Prepare the file again."
                    )
                row += 1


@contextlib.contextmanager
def _opened(
    path: Path | str, needed: Sequence[str] = (), ours: pa.Schema = SCHEMA
) -> Iterator[pq.ParquetFile]:
    """The parquet file, its `needed` columns each of a type that serves as that of the schema `ours`."""
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {Path(path).absolute()}; prepare the data first.") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} cannot be read as parquet: {error}.") from error
    with file:
        schema = file.schema_arrow
        missing = [name for name in needed if name not in schema.names]
        if missing:
            raise UserError(
                f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(schema.names)}."
            )
        for name in needed:
            actual, wanted = schema.field(name).type, ours.field(name).type
            if not _serves_as(actual, wanted):
                raise UserError(f"Column {name} of {path} is {actual}, but should be {wanted}.")
        yield file


def _serves_as(actual: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a type serves as another: tools write large strings, or fields in another order."""
    types = pa.types
    if types.is_struct(wanted):
        fields = {field.name: field.type for field in actual} if types.is_struct(actual) else {}
        return all(field.name in fields and _serves_as(fields[field.name], field.type) for field in wanted)
    if types.is_list(wanted):
        is_list = types.is_list(actual) or types.is_large_list(actual)
        return is_list and _serves_as(actual.value_type, wanted.value_type)
    large = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}
    return large.get(actual, actual) == wanted


def _pixels(sample: Sample) -> int:
    """Pixels of all images; also the proof that each has a readable header before it is written."""
    total = 0
    for number, data in enumerate(sample.images):
        try:
            height, width = images.image_size(data)
            images.refuse_narrow(height, width)
        except UserError as error:
            raise UserError(f"Image {number} of sample {sample.id!r}: {error}") from error
        total += height * width
    return total


def _table(rows: Sequence[tuple[Sample, list[dict]]], first: int) -> pa.Table:
    """Samples with their chats as a table of SCHEMA; `first` is the first row's index.

    Built leaf by leaf: pyarrow's own walk through nested dicts takes ten times as long.
    """
    samples, chats = zip(*rows, strict=True)
    turns = list(itertools.chain.from_iterable(chats))
    image_lists, answers = [sample.images for sample in samples], [sample.answer for sample in samples]
    pictures = list(itertools.chain.from_iterable(image_lists))
    messages = {"role": [turn["role"] for turn in turns], "content": [turn["content"] for turn in turns]}
    columns = {
        "data_source": [sample.source for sample in samples],
        "prompt": (map(len, chats), messages),
        "images": (map(len, image_lists), {"bytes": pictures, "path": [None] * len(pictures)}),
        "ability": ["medical"] * len(samples),
        "reward_model": {"style": ["rule"] * len(samples), "ground_truth": answers},
        "extra_info": {
            "split": [sample.split for sample in samples],
            "index": range(first, first + len(samples)),
            "id": [sample.id for sample in samples],
        },
        "problem": [chat[-1]["content"] for chat in chats],
        "answer": answers,
        "sample": list(map(Sample.to_json, samples)),
    }
    return pa.Table.from_arrays([_array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def _array(values: Sequence | Mapping, kind: pa.DataType) -> pa.Array:
    """An array; of a struct from a mapping of columns, of lists from (lengths, all their items in turn)."""
    if pa.types.is_list(kind):
        lengths, content = values
        ends = pa.array(list(itertools.accumulate(lengths, initial=0)), pa.int32())
        return pa.ListArray.from_arrays(ends, _array(content, kind.value_type))
    if pa.types.is_struct(kind):
        fields = [_array(values[field.name], field.type) for field in kind]
        return pa.StructArray.from_arrays(fields, fields=list(kind))
    return pa.array(values, kind)
