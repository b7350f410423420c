"""All checks over one prepared folder.

A report as text: what is there, what was found, and what the findings mean.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medical_rl.data.inspect import overlap
from medical_rl.data.inspect.findings import CHECKS, LEVELS, Finding
from medical_rl.data.inspect.memory import Memory
from medical_rl.data.inspect.overlap import Pair
from medical_rl.data.inspect.rows import check_file
from medical_rl.data.prepare import card as cards
from medical_rl.data.reports import FILE as REPORTS
from medical_rl.errors import UserError, unknown

USUAL = ("warm_start", "train", "val", "test")
# Where the folder's own prompt is not known: the answer alone, in the form that every reward reads.
BARE = {"name": "bare", "template": "{{ question }}", "target": '\\boxed{{ "{" }}{{ answer }}{{ "}" }}'}


@dataclass(frozen=True)
class Report:
    """What was found in a folder; `pairs` are the look-alikes."""

    folder: Path
    splits: tuple[Memory, ...]
    findings: tuple[Finding, ...]
    pairs: tuple[Pair, ...] = ()
    card: Mapping = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """1 if there is a leak or an error, else 0."""
        return int(any(finding.fails for finding in self.findings))


def check(folder: Path, accept: Iterable[str] = (), prompt: Mapping | None = None) -> Report:
    """The report of all checks; UserError if there is nothing to check.

    accept  names of checks whose leaks and errors are known, and become warnings
    prompt  the prompt whose target is scored; the bare answer where it is not given
    """
    accept = set(accept)
    for name in accept - CHECKS.keys():
        raise unknown("check", name, CHECKS)
    card, findings, memories = card_of(folder), [], []
    for path in split_files(folder, card):
        memory, found = check_file(path, prompt or BARE)
        memories.append(memory)
        findings += found
    findings += _checksums(folder, card)
    pairs: list[Pair] = []
    for one, other in overlap.compared(memories):
        findings += overlap.leaks(one, other, memories)
        near = overlap.look_alikes(one, other)
        if near:
            message = (
                f"{len(near):,} pairs of images of {one.split} and {other.split} look alike without being equal: "
                "look at them; they may be one patient, or only the same view."
            )
            findings.append(Finding("similar_image", "warning", message))
        pairs += near
    findings += overlap.unseen_answers(memories)
    findings = [
        dataclasses.replace(f, level="warning") if f.fails and f.check in accept else f for f in findings
    ]
    return Report(
        folder, tuple(memories), tuple(findings), tuple(sorted(pairs, key=lambda p: p.distance)), card
    )


def card_of(folder: Path) -> dict:
    """The folder's card.json; {} without a readable one, since the parquet files can be looked at without it."""
    try:
        found = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def split_files(folder: Path, card: Mapping) -> list[Path]:
    """The parquet files of the card, or without one all there are; UserError if there are none."""
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder.absolute()}. Give one that data_preprocess/<dataset>.py wrote."
        )
    names = [name for name in card.get("files", ()) if name in cards.files(folder)]
    found = [folder / name for name in names] or sorted(folder.glob("*.parquet"), key=_turn)
    found = [path for path in found if path.name != REPORTS]
    if not found:
        raise UserError(f"{folder.absolute()} holds no parquet files. Prepare a dataset into it first.")
    return found


def _turn(path: Path) -> tuple[int, str]:
    """The usual splits in their usual order, then any others by name."""
    return (USUAL.index(path.stem) if path.stem in USUAL else len(USUAL), path.stem)


def _checksums(folder: Path, card: Mapping) -> list[Finding]:
    """An error for a file that is not the one that the card tells of, a note where there is no card."""
    if not card:
        return [
            Finding("schema", "note", "There is no readable card.json: sources and checksums are not known.")
        ]
    changed = [name for name, sha in card.get("files", {}).items() if not _is(folder / name, sha)]
    return [
        Finding("schema", "warning", f"{name} is not the file that card.json tells of.") for name in changed
    ]


def _is(path: Path, sha: str) -> bool:
    return path.is_file() and cards.sha256(path) == sha


MAX_LABELS = 20


def text(report: Report) -> str:
    """The whole report."""
    return "\n".join([*_splits(report), "", *_findings(report), "", *_verdict(report)])


def _splits(report: Report) -> Iterator[str]:
    name = report.card.get("name") or report.folder.name
    yield f"{name}: {report.folder}"
    for memory in report.splits:
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in memory.kinds.most_common())
        yield (
            f"  {memory.split}: {memory.rows:,} rows ({kinds or 'none'}), {len(memory.groups):,} groups, "
            f"{len(memory.pictures):,} different images"
        )
        yield from _labels(memory)


def _labels(memory: Memory) -> Iterator[str]:
    if set(memory.kinds) == {"box"}:
        yield f"    {len(memory.answers):,} different boxes"
        return
    if len(memory.answers) > MAX_LABELS:
        answer, n = memory.answers.most_common(1)[0]
        yield f"    {len(memory.answers):,} different answers; the commonest, {answer!r}, is {n / memory.rows:.1%}"
        return
    for answer, n in memory.answers.most_common():
        yield f"    {n:>8,}  {n / memory.rows:6.1%}  {answer!r}"


def _findings(report: Report) -> Iterator[str]:
    for finding in sorted(report.findings, key=lambda finding: LEVELS.index(finding.level)):
        yield f"{finding.level.upper():<8} {finding.check}: {finding.message}"
        for example in finding.examples:
            yield f"           {_short(example)}"
    silent = [name for name in CHECKS if name not in {finding.check for finding in report.findings}]
    if silent:
        yield f"nothing found by: {', '.join(silent)}"


def _verdict(report: Report) -> Iterator[str]:
    counts = {level: sum(finding.level == level for finding in report.findings) for level in LEVELS}
    told = ", ".join(f"{n} {level}{'s' * (n != 1)}" for level, n in counts.items() if n) or "nothing found"
    if not report.exit_code:
        yield f"passed: {told}"
        return
    yield f"FAILED: {told}"
    names = " ".join(sorted({f"--accept {finding.check}" for finding in report.findings if finding.fails}))
    yield f"Prepare the data again without what is named above, or, knowing it: {names}"


def _short(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= 200 else f"{line[:199]}…"
