"""Completions scored offline: a file of lines in, the same lines with `total` and `terms` out, by the mix that training calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.parsing.response import gold_problem
from medical_rl.rewards.mix import Mix
from medical_rl.sample import KINDS, Sample

NEEDED = ("response", "answer", "kind")
AT_ONCE = 512  # lines scored together, so that a judge is asked about many at once


def read_lines(path: Path) -> Iterator[tuple[int, dict, Sample]]:
    """(line number, the line's object, its Sample) of a JSONL file; UserError for a line that is none.

    A line has `response`, `answer`, `kind`, and where they apply `choices`, `concepts`, `knowledge`, `size`
    ([height, width]), `question`, `id`, `source`, `restricted` and `image` (a path beside the file).
    """
    try:
        file = path.open(encoding="utf-8")
    except OSError as error:
        raise UserError(f"The completions file {path} cannot be read: {error.strerror or error}.") from error
    with file:
        for number, line in enumerate(_text_lines(path, file), 1):
            if line.strip():
                record = _record(path, number, line)
                sample = _sample(path, number, record)
                if problem := gold_problem(sample):
                    raise UserError(f"{path}, line {number}: {problem}.")
                yield number, record, sample


def _text_lines(path: Path, file) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError as error:
        raise UserError(f"The completions file {path} is not UTF-8 ({error}). Save it as UTF-8.") from error


def _record(path: Path, number: int, line: str) -> dict:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UserError(f"{path}, line {number}: not JSON ({error}). Each line is one object.") from error
    missing = [key for key in NEEDED if not isinstance(record, dict) or record.get(key) is None]
    if missing:
        given = ", ".join(record) if isinstance(record, dict) else type(record).__name__
        raise UserError(
            f"{path}, line {number}: {', '.join(missing)} missing; the line has {given or 'nothing'}."
        )
    if record["kind"] not in KINDS:
        raise UserError(
            f"{path}, line {number}: kind {record['kind']!r} is unknown. Available: {', '.join(KINDS)}."
        )
    return record


def _sample(path: Path, number: int, record: Mapping) -> Sample:
    size = record.get("size")
    whole = (
        isinstance(size, list) and len(size) == 2 and all(isinstance(v, (int, float)) and v > 0 for v in size)
    )
    if size is not None and not whole:
        raise UserError(f"{path}, line {number}: size is [height, width] in pixels, not {size!r}.")
    for name in ("choices", "concepts"):
        if record.get(name) is not None and not isinstance(record[name], list):
            raise UserError(f"{path}, line {number}: {name} is a list of texts, not {record[name]!r}.")
    answer = record["answer"]
    return Sample(
        id=str(record.get("id", number)),
        source=str(record.get("source", path.stem)),
        question=str(record.get("question", "")),
        kind=record["kind"],
        answer=answer if isinstance(answer, str) else json.dumps(answer),
        choices=tuple(map(str, record.get("choices") or ())),
        images=_images(path, number, record.get("image")),
        restricted=bool(record.get("restricted", False)),
        concepts=tuple(map(str, record.get("concepts") or ())),
        knowledge=str(record.get("knowledge") or ""),
        size=tuple(size) if size else None,
    )


def _images(path: Path, number: int, image) -> tuple[bytes, ...]:
    if not image:
        return ()
    place = path.parent / str(image)
    try:
        return (place.read_bytes(),)
    except OSError as error:
        raise UserError(
            f"{path}, line {number}: the image {place} cannot be read: {error.strerror or error}."
        ) from error


def score_lines(
    lines: Iterable[tuple[int, dict, Sample]], mix: Mix, step: Callable[[int], object] = lambda n: None
) -> Iterator[dict]:
    """Each line's object with `total`, `terms` (raw values; null where a term failed) and `right`, in order.

    `step` is called with the number of lines just scored.
    """
    batch: list[tuple[int, dict, Sample]] = []
    with asyncio.Runner() as runner:  # one event loop for the whole file: a judge keeps its connections
        for line in lines:
            batch.append(line)
            if len(batch) == AT_ONCE:
                yield from runner.run(_scored(batch, mix))
                step(len(batch))
                batch = []
        yield from runner.run(_scored(batch, mix))
        step(len(batch))


async def _scored(batch: list[tuple[int, dict, Sample]], mix: Mix) -> list[dict]:
    results = await asyncio.gather(
        *(mix.score(str(record["response"]), sample) for _, record, sample in batch)
    )
    return [
        {
            **record,
            "total": result["score"],
            "right": bool(result["acc"]),
            "terms": {name: None if result[f"{name}/failed"] else result[name] for name in mix.terms},
        }
        for (_, record, _), result in zip(batch, results, strict=True)
    ]
