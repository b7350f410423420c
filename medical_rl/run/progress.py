"""What a person sees while a stage runs: a bar with step and ETA, or plain lines where there is no terminal.

The source is metrics.jsonl (one line a step, appended by the stage) and, before the first step,
the stage's log. Nothing is printed by the stage itself.

How far a preparation is: a bar on a terminal, elsewhere a line now and then (a stage's parent shows the newest).

How far a count is that has a known end: a bar in a terminal, elsewhere a line now and then.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from medical_rl.sample import Sample

HEARTBEAT_S = 10.0
LINES_S = 5.0
# Text of the log that tells a person what a silent engine is doing, the newest that occurs wins.
PHASES = (
    ("Started a local Ray instance", "Ray is up; starting the actors"),
    ("init_model", "building the actor"),
    ("overlong filter", "rows are read; building the actor"),
    ("EngineCore", "vLLM is starting"),
    ("Initial validation metrics", "validated the starting model"),
    ("Loading weights", "loading weights"),
    ("predicting with", "predicting"),
)


def read_metrics(path: Path, stage: str) -> dict[int, dict]:
    """{step: metrics} of a stage; of a step that ran twice (before and after a resume) the later line."""
    found: dict[int, dict] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the last line, cut short while it is being written
            if record.get("stage") == stage:
                found[record["step"]] = found.get(record["step"], {}) | record
    return found


def phase(log: Path) -> str:
    """What the stage is doing, read off the end of its log."""
    if not log.exists():
        return "starting"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20000))
        text = file.read().decode("utf-8", "replace")
    found = [(text.rfind(mark), says) for mark, says in PHASES if mark in text]
    found += [(line.start(), line[1]) for line in re.finditer(rf"^{MARK}(.+)$", text, re.MULTILINE)]
    return max(found)[1] if found else "starting"


def duration(seconds: float) -> str:
    """Seconds as a person writes them.

    >>> duration(42), duration(150), duration(7300)
    ('42 s', '2 min 30 s', '2 h 1 min')
    """
    seconds = int(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


VALIDATION = "validation/score"
SHOWN = (
    ("reward/total", "reward"),
    ("reward/accuracy", "accuracy"),
    (VALIDATION, "validation"),
    ("train/loss", "loss"),
)


class StageProgress:
    """Shows the progress of one stage: `with StageProgress(...) as progress:` and `progress.look()` often.

    In a terminal a bar; elsewhere a line for a new step at most every LINES_S seconds. Either way
    something new is shown at least every HEARTBEAT_S seconds.
    """

    def __init__(self, console: Console, stage: str, metrics: Path, log: Path, total: int | None):
        self.console, self.stage, self.metrics, self.log, self.total = console, stage, metrics, log, total
        self.start = self.printed = self.moved = time.monotonic()
        self.first: tuple[int, float] | None = None
        # steps of an earlier attempt are not progress of this one
        self.step = max(read_metrics(metrics, stage), default=None)
        self.size = metrics.stat().st_size if metrics.exists() else -1
        self.bar = _bar(console) if console.is_terminal else None
        self.task = (
            self.bar.add_task(stage, total=total, completed=self.step or 0, says="starting")
            if self.bar
            else None
        )

    def __enter__(self):
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_):
        if self.bar:
            self.bar.stop()

    def look(self) -> None:
        """None; shows a new step if there is one, else after HEARTBEAT_S silent seconds that the stage is working."""
        size, now = (self.metrics.stat().st_size if self.metrics.exists() else -1), time.monotonic()
        if size != self.size:
            self.size = size
            steps = read_metrics(self.metrics, self.stage)
            newest = max(steps, default=None)
            if newest is not None and newest != self.step:
                self.step, self.moved = newest, now
                self.first = self.first or (newest, now)
                self._show(
                    _figures(steps[newest]),
                    now,
                    due=now - self.printed >= LINES_S or newest == self.total or VALIDATION in steps[newest],
                )
        if now - self.printed >= HEARTBEAT_S:
            self._show("still working" if self.first else phase(self.log), now, due=True)

    def _show(self, says: str, now: float, due: bool) -> None:
        if self.bar:
            self.bar.update(self.task, completed=self.step or 0, says=says)
        elif due:
            of = f"/{self.total}" if self.total else ""
            where = f"step {self.step}{of}: " if self.first else ""
            times = self._remaining(now) or f", {duration(now - self.start)} so far"
            self.console.print(f"  [dim]{self.stage}[/dim]  {where}{says}{times}", highlight=False)
        else:
            return
        self.printed = now

    def _remaining(self, now: float) -> str:
        """ ", about 2 min left" once two steps tell the pace, else nothing."""
        if not self.total or not self.first or self.step <= self.first[0]:
            return ""
        pace = (now - self.first[1]) / (self.step - self.first[0])
        return f", about {duration(pace * (self.total - self.step))} left"

    def silent_s(self) -> float:
        """Seconds since the stage last moved: a new step, or a growing log."""
        if self.log.exists():
            self.moved = max(self.moved, time.monotonic() - (time.time() - self.log.stat().st_mtime))
        return time.monotonic() - self.moved


def _figures(metrics: dict) -> str:
    return ", ".join(f"{says} {metrics[name]:.3f}" for name, says in SHOWN if name in metrics)


def _bar(console: Console) -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("[dim]{task.fields[says]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)


LOOK_S = 0.2
LINE_S = 10.0
MARK = "prepare: "  # how a line begins, by which `medical_rl.run.progress.phase` knows it in a stage's log


class Pace:
    """Counts rows on their way: `with Pace() as pace:` and `pace.reading(split, rows)` in place of the rows."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        # How many rows a source has is known at its end only, so the bar tells that rows come, not how many are left.
        columns = (
            SpinnerColumn(),
            BarColumn(bar_width=16),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
        )
        self.bar = (
            Progress(*columns, console=self.console, transient=True) if self.console.is_terminal else None
        )

    def __enter__(self) -> Pace:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_) -> None:
        if self.bar:
            self.bar.stop()

    def reading(self, split: str, rows: Iterable[Sample]) -> Iterator[Sample]:
        """The rows, with their number and rate shown while they pass."""
        task = self.bar.add_task(told(split, 0, 0), total=None) if self.bar else None
        start = shown = time.monotonic()
        every = LOOK_S if self.bar else LINE_S
        for count, row in enumerate(rows, start=1):
            if (now := time.monotonic()) - shown >= every:
                shown = now
                self._show(task, told(split, count, now - start))
            yield row
        if self.bar:
            self.bar.remove_task(task)

    def _show(self, task, text: str) -> None:
        if self.bar:
            self.bar.update(task, description=text, refresh=True)
        else:
            self.console.print(f"{MARK}{text}", highlight=False, markup=False)


def told(split: str, count: int, seconds: float) -> str:
    """The rows so far and their rate in words.

    >>> told("train", 12345, 100.0), told("val", 3, 0.0), told("test", 5, 20.0)
    ('train, 12,345 rows read, 123 a second', 'val, 3 rows read', 'test, 5 rows read, 0.2 a second')
    """
    rate = count / seconds if seconds else 0
    return f"{split}, {count:,} rows read" + (
        f", {rate:,.{0 if rate >= 10 else 1}f} a second" if rate else ""
    )


COUNTING_HEARTBEAT_S = 10.0


@contextlib.contextmanager
def counting(title: str, total: int) -> Iterator[Callable[[], None]]:
    """A function that counts one of `total`: a bar in a terminal, elsewhere a line every HEARTBEAT_S seconds."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    done, printed = 0, time.monotonic()

    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)

        def advance() -> None:
            nonlocal done, printed
            done += 1
            bar.advance(task)
            if not console.is_terminal and time.monotonic() - printed >= COUNTING_HEARTBEAT_S:
                console.print(f"{title}: {done:,} of {total:,}", highlight=False)
                printed = time.monotonic()

        yield advance
