"""Checks of the rows of one prepared file, in one pass that holds one row group.

Each row: its images decode, its gold answer scores 1.0 under accuracy, it repeats nothing. And whether the
columns that verl and EasyR1 read say the same as the `sample` that rewards and reports read.
"""

import collections
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from medical_rl import images
from medical_rl.data.inspect.findings import Finding
from medical_rl.data.inspect.leaks import SplitContents
from medical_rl.data.parquet import check_columns, read_samples
from medical_rl.data.prompts import in_frame, target
from medical_rl.errors import UserError
from medical_rl.parsing.response import gold, parse
from medical_rl.rewards.terms.accuracy import accuracy
from medical_rl.sample import Sample

SHOWN = 5
COLUMNS = ["data_source", "prompt", "reward_model", "extra_info", "problem", "answer", "sample"]


def check_file(path: Path, prompt: Mapping) -> tuple[SplitContents, list[Finding]]:
    """(what to compare with other splits, findings) of one `<split>.parquet`.

    prompt  gives the target of the gold answer
    """
    contents, findings = SplitContents(path.stem), []
    try:
        check_columns(path)
    except UserError as error:
        findings.append(Finding("schema", "error", str(error)))
    problems: dict[tuple[str, str, str], list[str]] = collections.defaultdict(list)
    try:
        for sample in read_samples(path):
            for check, level, problem, row in _row_problems(sample, contents, prompt):
                problems[check, level, problem].append(row)
        if not findings:
            for level, problem, row in _disagreements(path):
                problems["columns", level, problem].append(row)
    except UserError as error:
        findings.append(Finding("row", "error", f"{path.name} cannot be read: {error}"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # A sample column that another program wrote: JSON of anything.
        message = f"Row {contents.rows} of {path.name} cannot be read back: {error!r}."
        findings.append(Finding("row", "error", message))
    for (check, level, problem), rows in problems.items():
        message = f"{path.stem}: {len(rows):,} row{'s' * (len(rows) != 1)}: {problem}."
        findings.append(Finding(check, level, message, tuple(rows[:SHOWN])))
    return contents, findings


def _row_problems(
    sample: Sample, contents: SplitContents, prompt: Mapping
) -> Iterator[tuple[str, str, str, str]]:
    """(check, level, what is wrong, the row and its own detail)."""
    pictures: list[Image.Image] = []
    for number, data in enumerate(sample.images):
        try:
            pictures.append(images.decode(data))
        except UserError as error:
            yield "image", "error", "an image does not decode", f"{sample.id}, image {number}: {error}"
    for problem, row in _answer_problems(sample, pictures, prompt):
        yield "gold", "error", problem, row
    if len(pictures) == len(sample.images):
        for level, sentence in contents.add(sample, pictures):
            yield "duplicate", level, "a repetition", sentence


def _answer_problems(
    sample: Sample, pictures: list[Image.Image], prompt: Mapping
) -> Iterator[tuple[str, str]]:
    try:
        response = target(sample, prompt)
    except UserError as error:
        yield "the gold answer cannot be put into the prompt's target", f"{sample.id}: {error}"
        return
    if accuracy(parse(response), in_frame(sample, prompt)) != 1.0:
        yield "the gold answer does not score 1.0 under accuracy", f"{sample.id}: {sample.answer!r}"
    elif sample.choices and sample.kind != "box" and gold(sample) not in sample.choices:
        yield "the gold answer is none of the choices", f"{sample.id}: {sample.answer!r}"
    elif sample.kind == "box" and pictures:
        height, width = sample.size or pictures[0].size[::-1]
        for x1, y1, x2, y2 in json.loads(gold(sample)):
            if not (x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height):
                yield "the gold box reaches outside the image", f"{sample.id}: {sample.answer}"


def _disagreements(path: Path) -> Iterator[tuple[str, str, str]]:
    """(level, what disagrees, the row and its two values), of a file whose columns are there and readable."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group, columns=COLUMNS).to_pylist():
                yield from _row_disagreements(row, json.loads(row["sample"]))


def _row_disagreements(row: Mapping, sample: Mapping) -> Iterator[tuple[str, str, str]]:
    extra, model = row["extra_info"] or {}, row["reward_model"] or {}
    # The template is not known here: EasyR1's text is held against verl's, which holds the images' places.
    verls_problem = (row["prompt"] or [{}])[-1].get("content")
    for column, value, expected in (
        ("reward_model.ground_truth", model.get("ground_truth"), sample["answer"]),
        ("answer", row["answer"], sample["answer"]),
        ("data_source", row["data_source"], sample["source"]),
        ("extra_info.id", extra.get("id"), sample["id"]),
        ("extra_info.split", extra.get("split"), sample["split"]),
        ("problem", row["problem"], verls_problem),
    ):
        if value != expected:
            values = f"{sample['id']}: {_short(value)}, not {_short(expected)}"
            yield "error", f"{column} is not what its sample says", values
    if row["problem"] == verls_problem and _letters(sample["question"]) not in _letters(row["problem"]):
        # A template may have words of its own, so that it is a person who must look.
        yield "warning", "the problem does not hold its sample's question", sample["id"]


def _letters(text: str | None) -> str:
    """The letters and digits: a template may wrap a question, and marks of images in it are made plain."""
    return "".join(filter(str.isalnum, text or ""))


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
