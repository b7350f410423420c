"""All checks over one prepared folder, and their report as text.

The rows of a file are checked in one pass that holds one row group. Each row: its images decode, its gold
answer scores 1.0 under accuracy, it repeats nothing. And whether the columns that verl and EasyR1 read say
the same as the `sample` that rewards and reports read.
"""

import collections
import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from medical_rl import images
from medical_rl.data.inspect import findings as between
from medical_rl.data.inspect.findings import (
    CHECKS,
    LEVELS,
    SHOWN,
    TRAINING,
    Finding,
    SimilarPair,
    SplitContents,
)
from medical_rl.data.parquet import SCHEMA, check_columns, read_records, read_samples
from medical_rl.data.prepare import card as cards
from medical_rl.data.prompts import in_frame, target
from medical_rl.data.reports import FILE as REPORTS
from medical_rl.errors import UserError, unknown
from medical_rl.parsing.response import gold, parse
from medical_rl.rewards.terms.accuracy import accuracy
from medical_rl.sample import Sample

MAX_LABELS = 20  # answers of a split that the report lists one by one
USUAL = ("warm_start", "train", "val", "test")
# Where the folder's own prompt is not known: the answer alone, in the form that every reward reads.
BARE = {"name": "bare", "template": "{{ question }}", "target": '\\boxed{{ "{" }}{{ answer }}{{ "}" }}'}
COLUMNS = ["data_source", "prompt", "reward_model", "extra_info", "problem", "answer", "sample"]


@dataclass(frozen=True)
class Report:
    """What was found in a folder; `pairs` are the look-alikes."""

    folder: Path
    splits: tuple[SplitContents, ...]
    findings: tuple[Finding, ...]
    pairs: tuple[SimilarPair, ...] = ()
    card: Mapping = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """1 if there is a leak or an error, else 0."""
        return int(any(finding.fails for finding in self.findings))


def check_folder(folder: Path, accept: Iterable[str] = (), prompt: Mapping | None = None) -> Report:
    """The report of all checks; UserError if there is nothing to check.

    accept  names of checks whose leaks and errors are known, and become warnings
    prompt  the prompt whose target is scored; the bare answer where it is not given
    """
    accept = set(accept)
    for name in accept - CHECKS.keys():
        raise unknown("check", name, CHECKS)
    card, findings, splits = cards.read_card(folder), [], []
    if card.get("leaks"):
        # The preparation was told of them, and said so.
        accept |= {"shared_group", "shared_id", "shared_image", "shared_text"}
    for path in split_files(folder, card):
        contents, of_file = _check_file(path, prompt or BARE)
        splits.append(contents)
        findings += of_file
    if not card:
        message = "There is no readable card.json: sources and checksums are not known."
        findings.append(Finding("schema", "note", message))
    for name, sha in card.get("files", {}).items():
        path = folder / name
        if not path.is_file() or cards.sha256(path) != sha:
            findings.append(Finding("schema", "warning", f"{name} is not the file that card.json tells of."))
    findings += [Finding("card", "warning", warning) for warning in card.get("warnings", ())]
    findings += [Finding("card", "note", note) for note in (card.get("about") or {}).get("notes", ())]
    pairs: list[SimilarPair] = []
    for one, other in itertools.combinations(splits, 2):
        if one.split in TRAINING and other.split in TRAINING:
            continue
        findings += between.find_leaks(one, other, splits)
        similar = between.find_similar_images(one, other)
        if similar:
            message = (
                f"{len(similar):,} pairs of images of {one.split} and {other.split} look alike without "
                "being equal: look at them; they may be one patient, or only the same view."
            )
            findings.append(Finding("similar_image", "warning", message))
        pairs += similar
    findings += between.find_unseen_answers(splits)
    for i, finding in enumerate(findings):
        if finding.fails and finding.check in accept:
            findings[i] = dataclasses.replace(finding, level="warning")
    pairs.sort(key=lambda pair: pair.distance)
    return Report(folder, tuple(splits), tuple(findings), tuple(pairs), card)


def split_files(folder: Path, card: Mapping) -> list[Path]:
    """The parquet files of the card, or without one all there are; UserError if there are none."""
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder.absolute()}. Give one that `python -m data_preprocess.<dataset>` "
            "wrote."
        )
    paths = [folder / name for name in card.get("files", ()) if name in cards.listed_files(folder)]
    if not paths:
        # The usual splits in their usual order, then any others by name.
        paths = sorted(folder.glob("*.parquet"))
        paths.sort(key=lambda path: USUAL.index(path.stem) if path.stem in USUAL else len(USUAL))
    paths = [path for path in paths if path.name != REPORTS]
    if not paths:
        raise UserError(f"{folder.absolute()} holds no parquet files. Prepare a dataset into it first.")
    return paths


def _check_file(path: Path, prompt: Mapping) -> tuple[SplitContents, list[Finding]]:
    """(what to compare with other splits, findings) of one `<split>.parquet`."""
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
            for row in read_records(path, SCHEMA, COLUMNS):
                for level, problem, example in _row_disagreements(row, json.loads(row["sample"])):
                    problems["columns", level, problem].append(example)
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
            _, picture, unsettled = images.settle(data)
        except UserError as error:
            yield "image", "error", "an image does not decode", f"{sample.id}, image {number}: {error}"
            continue
        pictures.append(picture)
        if unsettled:
            problem = "decoders see different pictures in an image, which a preparation would settle"
            yield "image", "error", problem, f"{sample.id}, image {number}: {', '.join(unsettled)}"
    for problem, detail in _answer_problems(sample, pictures, prompt):
        yield "gold", "error", problem, f"{sample.id}: {detail}"
    if len(pictures) == len(sample.images):
        for level, sentence in contents.add(sample, pictures):
            yield "duplicate", level, "a repetition", sentence


def _answer_problems(
    sample: Sample, pictures: list[Image.Image], prompt: Mapping
) -> Iterator[tuple[str, str]]:
    try:
        response = target(sample, prompt)
    except UserError as error:
        yield "the gold answer cannot be put into the prompt's target", str(error)
        return
    if accuracy(parse(response), in_frame(sample, prompt)) != 1.0:
        yield "the gold answer does not score 1.0 under accuracy", repr(sample.answer)
    elif sample.choices and sample.kind != "box" and gold(sample) not in sample.choices:
        yield "the gold answer is none of the choices", repr(sample.answer)
    elif sample.kind == "box" and pictures:
        height, width = sample.size or pictures[0].size[::-1]
        for x1, y1, x2, y2 in json.loads(gold(sample)):
            if not (x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height):
                yield "the gold box reaches outside the image", sample.answer


def _row_disagreements(row: Mapping, sample: Mapping) -> Iterator[tuple[str, str, str]]:
    """(level, what disagrees, the row and its two values)."""
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


def report_text(report: Report) -> str:
    """The whole report."""
    parts = (_splits_text(report), _findings_text(report), _verdict_text(report))
    return "\n\n".join(map("\n".join, parts))


def _splits_text(report: Report) -> Iterator[str]:
    yield f"{report.card.get('name') or report.folder.name}: {report.folder}"
    for split in report.splits:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in split.kinds.most_common())
        yield (
            f"  {split.split}: {split.rows:,} rows ({kinds or 'none'}), {len(split.groups):,} groups, "
            f"{len(split.pictures):,} different images"
        )
        answers = split.answers.most_common()
        if set(split.kinds) == {"box"}:
            yield f"    {len(answers):,} different boxes"
        elif len(answers) > MAX_LABELS:
            answer, count = answers[0]
            share = f"{count / split.rows:.1%}"
            yield f"    {len(answers):,} different answers; the commonest, {answer!r}, is {share}"
        else:
            for answer, count in answers:
                yield f"    {count:>8,}  {count / split.rows:6.1%}  {answer!r}"


def _findings_text(report: Report) -> Iterator[str]:
    silent = dict(CHECKS)
    for finding in sorted(report.findings, key=lambda finding: LEVELS.index(finding.level)):
        silent.pop(finding.check, None)
        yield f"{finding.level.upper():<8} {finding.check}: {finding.message}"
        for example in finding.examples:
            line = " ".join(example.split())
            yield f"           {line if len(line) <= 200 else line[:199] + '…'}"
    if silent:
        yield f"nothing found by: {', '.join(silent)}"


def _verdict_text(report: Report) -> Iterator[str]:
    levels = collections.Counter(finding.level for finding in report.findings)
    counts = [f"{levels[level]} {level}{'s' * (levels[level] != 1)}" for level in LEVELS if levels[level]]
    summary = ", ".join(counts) or "nothing found"
    if not report.exit_code:
        yield f"passed: {summary}"
        return
    yield f"FAILED: {summary}"
    accepting = {f"--accept {finding.check}" for finding in report.findings if finding.fails}
    names = " ".join(sorted(accepting))
    yield f"Prepare the data again without what is named above, or, knowing it: {names}"
