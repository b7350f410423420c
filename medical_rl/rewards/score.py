"""Completions scored offline by the mix that training calls; rows of other trainers made `Sample`s."""

import asyncio
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Real
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.parsing.response import gold_problem, normalise
from medical_rl.rewards.mix import Mix
from medical_rl.sample import KINDS, Sample

NEEDED = ("response", "answer", "kind")
AT_ONCE = 512  # lines scored together, so that a judge is asked about many at once
_FIELDS = ("question", "choices", "concepts", "knowledge", "size", "id", "restricted", "split", "group")
_OF_LINES = ("answer", "kind", "question", "source", "choices", "concepts", "knowledge", "size", "restricted")


def read_lines(path: Path) -> Iterator[tuple[int, dict, Sample]]:
    """(line number, the line's object, its Sample) of a JSONL file.

    Raises UserError for a line that is none, or whose gold answer is no answer.
    A line has `response`, `answer`, `kind`, and where they apply `choices`, `concepts`, `knowledge`, `size`
    ([height, width]), `question`, `id`, `source`, `restricted` and `image` (a path beside the file).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"The completions file {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The completions file {path} is not UTF-8 ({error}). Save it as UTF-8.") from error
    for number, line in enumerate(io.StringIO(text), 1):
        if line.strip():
            try:
                record = json.loads(line)
                sample = _sample(path, number, record)
            except ValueError as error:
                raise UserError(
                    f"{path}, line {number}: not JSON ({error}). Each line is one object."
                ) from error
            except UserError as problem:
                raise UserError(f"{path}, line {number}: {problem}.") from problem
            yield number, record, sample


def _sample(path: Path, number: int, record) -> Sample:
    fields = record if isinstance(record, dict) else {}
    missing = [key for key in NEEDED if fields.get(key) is None]
    if missing:
        columns = ", ".join(record) if isinstance(record, dict) else type(record).__name__
        raise UserError(f"{', '.join(missing)} missing; the line has {columns or 'nothing'}")
    row = {"source": path.stem} | {name: record[name] for name in _OF_LINES if record.get(name) is not None}
    row["id"] = record.get("id", number)
    if record.get("image"):
        file = path.parent / str(record["image"])
        try:
            row["image"] = file.read_bytes()
        except OSError as error:
            raise UserError(f"the image {file} cannot be read: {error.strerror or error}") from error
    sample = sample_of(row)
    problem = gold_problem(sample)
    if problem:
        raise UserError(problem)
    return sample


def sample_of(row: Mapping) -> Sample:
    """The row's sample: its `sample` column (data prepared by medical_rl), else made of its other columns.

    Read are answer | ground_truth | solution, kind, question | problem, source | data_source, choices,
    concepts, knowledge and size. Without a kind, an answer "yes" or "no" is a yes_no and any other a label: a
    number may be a grade or an option, which nothing here can tell. Raises UserError where there is no
    answer.
    """
    if row.get("sample"):
        return Sample.from_json(str(row["sample"]))
    answer = _first(row, ("answer", "ground_truth", "solution"))
    if answer is None:
        raise UserError(
            "A row has no answer to compare with (answer, ground_truth or solution); it has "
            f"{', '.join(row)}."
        )
    if not isinstance(answer, str):
        answer = json.dumps(answer)
    kind = row.get("kind") or ("yes_no" if normalise(answer) in ("yes", "no") else "label")
    if kind not in KINDS:
        raise UserError(f"kind {kind!r} is unknown. Available: {', '.join(KINDS)}")
    fields = {"question": str(row.get("problem") or ""), "id": str(row.get("index", ""))}
    for name in _FIELDS:
        if row.get(name) is not None:
            fields[name] = _field(name, row[name])
    images = row.get("images") or []
    if not images and row.get("image") is not None:
        images = [row["image"]]
    source = str(row.get("source") or row.get("data_source") or "rows")
    return Sample(source=source, kind=kind, answer=answer, images=tuple(map(encode_image, images)), **fields)


def _field(name: str, value):
    if name in ("choices", "concepts"):
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise UserError(f"{name} is a list of texts, not {value!r}")
        return tuple(map(str, value))
    if name == "size":
        sides = value if hasattr(value, "__len__") and len(value) == 2 else (0,)
        if not all(isinstance(side, Real) and side > 0 for side in sides):
            raise UserError(f"size is [height, width] in pixels, not {value!r}")
        return tuple(map(int, value))
    return bool(value) if name == "restricted" else str(value)


def _first(row: Mapping, names: Sequence[str]):
    """The first value of these columns that is there, or None."""
    for name in names:
        if row.get(name) is not None:
            return row[name]
    return None


def encode_image(image) -> bytes:
    """The encoded bytes of an image given as bytes, a path, {"bytes"|"path"|"image"} or a Pillow image."""
    if isinstance(image, Mapping):
        image = _first(image, ("bytes", "image", "path"))
    if isinstance(image, bytes):
        return image
    if isinstance(image, (str, Path)):
        return Path(str(image).removeprefix("file://")).read_bytes()
    if not hasattr(image, "save"):
        raise UserError(
            f"A row's image is {type(image).__name__}; bytes, a path or a Pillow image is needed."
        )
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def score_lines(lines: Sequence[tuple[int, dict, Sample]], mix: Mix) -> Iterator[dict]:
    """Each line's object with `total`, `right` and `terms` (raw values; null for a failed one), in order."""
    with asyncio.Runner() as runner:  # one event loop for the whole file: a judge keeps its connections
        for start in range(0, len(lines), AT_ONCE):
            batch = lines[start : start + AT_ONCE]
            responses = [(str(record["response"]), sample) for _, record, sample in batch]
            for (_, record, _), result in zip(batch, runner.run(_scored(mix, responses)), strict=True):
                terms = {name: None if result[f"{name}/failed"] else result[name] for name in mix.terms}
                yield record | {"total": result["score"], "right": bool(result["acc"]), "terms": terms}


async def _scored(mix: Mix, responses: Sequence[tuple[str, Sample]]) -> list[dict[str, float]]:
    return await asyncio.gather(*[mix.score(text, sample) for text, sample in responses])


def score_all(mix: Mix, responses: Sequence[tuple[str, Sample]]) -> list[dict[str, float]]:
    """The mix's result for each (text, sample), all asked at once.

    Where an event loop is running already (a notebook), it is done in a thread of its own.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_scored(mix, responses))
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _scored(mix, responses)).result()
