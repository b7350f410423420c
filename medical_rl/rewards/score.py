"""Completions scored offline by the mix that training calls: lines in, the same with their scores out."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.parsing.response import gold_problem
from medical_rl.rewards.mix import Mix
from medical_rl.sample import KINDS, Sample

NEEDED = ("response", "answer", "kind")
AT_ONCE = 512  # lines scored together, so that a judge is asked about many at once


def read_lines(path: Path) -> Iterator[tuple[int, dict, Sample]]:
    """(line number, the line's object, its Sample) of a JSONL file.

    Raises UserError for a line that is none, or whose gold answer is no answer.
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
                try:
                    record = _record(line)
                    sample = _sample(path, number, record)
                except _WrongLine as problem:
                    raise UserError(f"{path}, line {number}: {problem}.") from problem
                yield number, record, sample


class _WrongLine(Exception):
    """What is wrong with a line, told with its number."""


def _text_lines(path: Path, file) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError as error:
        raise UserError(f"The completions file {path} is not UTF-8 ({error}). Save it as UTF-8.") from error


def _record(line: str) -> dict:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise _WrongLine(f"not JSON ({error}). Each line is one object") from error
    fields = record if isinstance(record, dict) else {}
    missing = [key for key in NEEDED if fields.get(key) is None]
    if missing:
        columns = ", ".join(record) if isinstance(record, dict) else type(record).__name__
        raise _WrongLine(f"{', '.join(missing)} missing; the line has {columns or 'nothing'}")
    if record["kind"] not in KINDS:
        raise _WrongLine(f"kind {record['kind']!r} is unknown. Available: {', '.join(KINDS)}")
    return record


def _sample(path: Path, number: int, record: Mapping) -> Sample:
    size = record.get("size")
    if size is not None and not _is_size(size):
        raise _WrongLine(f"size is [height, width] in pixels, not {size!r}")
    for name in ("choices", "concepts"):
        if record.get(name) is not None and not isinstance(record[name], list):
            raise _WrongLine(f"{name} is a list of texts, not {record[name]!r}")
    answer, image = record["answer"], record.get("image")
    sample = Sample(
        id=str(record.get("id", number)),
        source=str(record.get("source", path.stem)),
        question=str(record.get("question", "")),
        kind=record["kind"],
        answer=answer if isinstance(answer, str) else json.dumps(answer),
        choices=tuple(map(str, record.get("choices") or ())),
        images=(_read_image(path.parent / str(image)),) if image else (),
        restricted=bool(record.get("restricted", False)),
        concepts=tuple(map(str, record.get("concepts") or ())),
        knowledge=str(record.get("knowledge") or ""),
        size=tuple(size) if size else None,
    )
    problem = gold_problem(sample)
    if problem:
        raise _WrongLine(problem)
    return sample


def _is_size(size) -> bool:
    if not isinstance(size, list) or len(size) != 2:
        return False
    return all(isinstance(side, (int, float)) and side > 0 for side in size)


def _read_image(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _WrongLine(f"the image {file} cannot be read: {error.strerror or error}") from error


def score_lines(lines: Sequence[tuple[int, dict, Sample]], mix: Mix) -> Iterator[dict]:
    """Each line's object with `total`, `right` and `terms` (raw values; null for a failed one), in order."""
    with asyncio.Runner() as runner:  # one event loop for the whole file: a judge keeps its connections
        for start in range(0, len(lines), AT_ONCE):
            yield from runner.run(_score_batch(lines[start : start + AT_ONCE], mix))


async def _score_batch(batch: Sequence[tuple[int, dict, Sample]], mix: Mix) -> list[dict]:
    scores = [mix.score(str(record["response"]), sample) for _, record, sample in batch]
    scored = []
    for (_, record, _), result in zip(batch, await asyncio.gather(*scores), strict=True):
        terms = {name: None if result[f"{name}/failed"] else result[name] for name in mix.terms}
        scored.append(record | {"total": result["score"], "right": bool(result["acc"]), "terms": terms})
    return scored
