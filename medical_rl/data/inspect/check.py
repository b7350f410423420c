"""All checks over one prepared folder, and their report as text."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medical_rl.data.inspect import leaks
from medical_rl.data.inspect.findings import CHECKS, LEVELS, Finding
from medical_rl.data.inspect.leaks import SimilarPair, SplitContents
from medical_rl.data.inspect.row_checks import check_file
from medical_rl.data.prepare import card as cards
from medical_rl.data.reports import FILE as REPORTS
from medical_rl.errors import UserError, unknown

MAX_LABELS = 20  # answers of a split that the report lists one by one
USUAL = ("warm_start", "train", "val", "test")
# Where the folder's own prompt is not known: the answer alone, in the form that every reward reads.
BARE = {"name": "bare", "template": "{{ question }}", "target": '\\boxed{{ "{" }}{{ answer }}{{ "}" }}'}


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
    card, findings, splits = card_of(folder), [], []
    for path in split_files(folder, card):
        contents, of_file = check_file(path, prompt or BARE)
        splits.append(contents)
        findings += of_file
    findings += _check_card(folder, card)
    pairs: list[SimilarPair] = []
    for one, other in leaks.pairs_of_splits(splits):
        findings += leaks.find_leaks(one, other, splits)
        similar = leaks.find_similar_images(one, other)
        if similar:
            message = (
                f"{len(similar):,} pairs of images of {one.split} and {other.split} look alike without "
                "being equal: look at them; they may be one patient, or only the same view."
            )
            findings.append(Finding("similar_image", "warning", message))
        pairs += similar
    findings += leaks.find_unseen_answers(splits)
    for i, finding in enumerate(findings):
        if finding.fails and finding.check in accept:
            findings[i] = dataclasses.replace(finding, level="warning")
    pairs.sort(key=lambda pair: pair.distance)
    return Report(folder, tuple(splits), tuple(findings), tuple(pairs), card)


def card_of(folder: Path) -> dict:
    """The folder's card.json; {} without a readable one."""
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def split_files(folder: Path, card: Mapping) -> list[Path]:
    """The parquet files of the card, or without one all there are; UserError if there are none."""
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder.absolute()}. Give one that `python -m data_preprocess.<dataset>` "
            "wrote."
        )
    names = [name for name in card.get("files", ()) if name in cards.listed_files(folder)]
    paths = [folder / name for name in names] or sorted(folder.glob("*.parquet"), key=_usual_order)
    paths = [path for path in paths if path.name != REPORTS]
    if not paths:
        raise UserError(f"{folder.absolute()} holds no parquet files. Prepare a dataset into it first.")
    return paths


def _usual_order(path: Path) -> tuple[int, str]:
    """The usual splits in their usual order, then any others by name."""
    return (USUAL.index(path.stem) if path.stem in USUAL else len(USUAL), path.stem)


def _check_card(folder: Path, card: Mapping) -> Iterator[Finding]:
    """A warning for a file that is not the one that the card tells of, a note where there is no card."""
    if not card:
        message = "There is no readable card.json: sources and checksums are not known."
        yield Finding("schema", "note", message)
    for name, sha in card.get("files", {}).items():
        path = folder / name
        if not path.is_file() or cards.sha256(path) != sha:
            yield Finding("schema", "warning", f"{name} is not the file that card.json tells of.")


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
        yield from _answers_text(split)


def _answers_text(split: SplitContents) -> Iterator[str]:
    answers = split.answers
    if set(split.kinds) == {"box"}:
        yield f"    {len(answers):,} different boxes"
    elif len(answers) > MAX_LABELS:
        answer, count = answers.most_common(1)[0]
        share = f"{count / split.rows:.1%}"
        yield f"    {len(answers):,} different answers; the commonest, {answer!r}, is {share}"
    else:
        for answer, count in answers.most_common():
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
    levels = Counter(finding.level for finding in report.findings)
    counts = [f"{levels[level]} {level}{'s' * (levels[level] != 1)}" for level in LEVELS if levels[level]]
    summary = ", ".join(counts) or "nothing found"
    if not report.exit_code:
        yield f"passed: {summary}"
        return
    yield f"FAILED: {summary}"
    accepting = {f"--accept {finding.check}" for finding in report.findings if finding.fails}
    names = " ".join(sorted(accepting))
    yield f"Prepare the data again without what is named above, or, knowing it: {names}"
