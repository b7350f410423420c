"""A report as text: what is there, what was found, and what the findings mean."""

from __future__ import annotations

from collections.abc import Iterator

from medical_rl.data.checks.finding import CHECKS, LEVELS
from medical_rl.data.checks.memory import Memory
from medical_rl.data.checks.run import Report

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
