"""What a person sees of long work: a bar on a terminal, elsewhere a plain line now and then.

A stage is another process: its steps are read off metrics.jsonl and, before the first one, off its log.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from rich import progress as rich_progress
from rich.console import Console

Row = TypeVar("Row")

LINE_S = 10.0  # something is printed at least this often while anything goes on
STEP_LINE_S = 5.0  # a new step is printed at most this often
BAR_S = 0.2
MARK = "prepare: "  # how a preparation's line begins in a stage's log
# Text of the log that tells a person what a silent engine is doing; the newest that occurs wins.
PHASES = {
    "Started a local Ray instance": "Ray is up; starting the actors",
    "init_model": "building the actor",
    "overlong filter": "rows are read; building the actor",
    "EngineCore": "vLLM is starting",
    "Initial validation metrics": "validated the starting model",
    "Loading weights": "loading weights",
    "predicting with": "predicting",
}
VALIDATION = "validation/score"
SHOWN = {
    "reward/total": "reward", "reward/accuracy": "accuracy", VALIDATION: "validation", "train/loss": "loss",
}  # fmt: skip


class Progress:
    """One display of work: `with Progress() as progress:`, then `count` rows or `advance` to a total."""

    def __init__(self, console: Console | None = None, title: str = "", total: int | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.title, self.total = title, total
        self.done = 0
        self.shown = time.monotonic()
        self.bar = None
        if self.console.is_terminal:
            self.bar = rich_progress.Progress(
                rich_progress.SpinnerColumn(), rich_progress.TextColumn("{task.description}", markup=False),
                rich_progress.BarColumn(bar_width=24),
                rich_progress.TextColumn("{task.fields[text]}", style="dim", markup=False),
                rich_progress.TimeElapsedColumn(), rich_progress.TimeRemainingColumn(),
                console=self.console, transient=True,
            )  # fmt: skip
            self.task = self.bar.add_task(title, total=total, text="")

    def __enter__(self):
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_) -> None:
        if self.bar:
            self.bar.stop()

    def count(self, split: str, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows, with their number and rate shown while they pass (their total is known at the end)."""
        start = time.monotonic()
        for number, row in enumerate(rows, start=1):
            now = time.monotonic()
            if self._is_due(now):
                text = rows_read(split, number, now - start)
                self.show(f"{MARK}{text}", description=text)
            yield row

    def advance(self) -> None:
        """Count one more of the total."""
        self.done += 1
        if self._is_due(time.monotonic()):
            text = f"{self.done:,}/{self.total:,}"
            self.show(f"{self.title}: {self.done:,} of {self.total:,}", completed=self.done, text=text)

    def show(self, line: str, **fields) -> None:
        """Set `fields` of the bar (description, completed, text); without a terminal print `line`."""
        if self.bar:
            self.bar.update(self.task, refresh=True, **fields)
        else:
            self.console.print(line, highlight=False, markup=False)

    def _is_due(self, now: float) -> bool:
        """Whether something is to be shown again; if so the clock starts anew."""
        if now - self.shown < (BAR_S if self.bar else LINE_S):
            return False
        self.shown = now
        return True


class StageProgress(Progress):
    """The progress of a stage: `with StageProgress(...) as progress:` and `progress.look()` often.

    A new step is shown at most every STEP_LINE_S seconds, and something at least every LINE_S seconds.
    """

    def __init__(self, console: Console, stage: str, metrics: Path, log: Path, total: int | None):
        super().__init__(console, stage, total)
        self.metrics, self.log = metrics, log
        self.start = self.moved = self.shown
        self.first: tuple[int, float] | None = None  # this attempt's first step, and when
        # Steps of an earlier attempt are not progress of this one.
        self.step = max(read_metrics(metrics, stage), default=None)
        self.size = _size(metrics)
        if self.bar:
            self.bar.update(self.task, completed=self.step or 0, text="starting")

    def look(self) -> None:
        """Show a new step if there is one, else after LINE_S silent seconds that the stage is working."""
        now, size = time.monotonic(), _size(self.metrics)
        if size != self.size:
            self.size = size
            self._read_steps(now)
        if now - self.shown >= LINE_S:
            self._report("still working" if self.first else phase(self.log), now)

    def silent_s(self) -> float:
        """Seconds since the stage last moved: a new step, or a growing log."""
        if self.log.exists():
            self.moved = max(self.moved, time.monotonic() - (time.time() - self.log.stat().st_mtime))
        return time.monotonic() - self.moved

    def _read_steps(self, now: float) -> None:
        steps = read_metrics(self.metrics, self.title)
        newest = max(steps, default=None)
        if newest is None or newest == self.step:
            return
        self.step, self.moved = newest, now
        self.first = self.first or (newest, now)
        figures = steps[newest]
        important = self.bar or newest == self.total or VALIDATION in figures
        if important or now - self.shown >= STEP_LINE_S:
            shown = [f"{heading} {figures[name]:.3f}" for name, heading in SHOWN.items() if name in figures]
            self._report(", ".join(shown), now)

    def _report(self, text: str, now: float) -> None:
        of_total = f"/{self.total}" if self.total else ""
        position = f"step {self.step}{of_total}: " if self.first else ""
        times = self._remaining(now) or f", {duration(now - self.start)} so far"
        done = self.step or 0
        self.show(f"  {self.title}  {position}{text}{times}", completed=done, text=f"{done}{of_total} {text}")
        self.shown = now

    def _remaining(self, now: float) -> str:
        """ ", about 2 min left" once two steps tell the pace, else nothing."""
        if not self.total or not self.first or self.step <= self.first[0]:
            return ""
        pace_s = (now - self.first[1]) / (self.step - self.first[0])
        return f", about {duration(pace_s * (self.total - self.step))} left"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def read_metrics(path: Path, stage: str) -> dict[int, dict]:
    """{step: metrics} of a stage; of a step that ran twice (before and after a resume) the later line."""
    steps: dict[int, dict] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the last line, cut short while it is being written
        if record.get("stage") == stage:
            steps.setdefault(record["step"], {}).update(record)
    return steps


def phase(log: Path) -> str:
    """What the stage is doing, read off the end of its log."""
    if not log.exists():
        return "starting"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20000))
        text = file.read().decode("utf-8", "replace")
    positions = [(-1, "starting")]
    positions += [(text.rfind(words), meaning) for words, meaning in PHASES.items() if words in text]
    for line in re.finditer(rf"^{MARK}(.+)$", text, re.MULTILINE):
        positions.append((line.start(), line[1]))
    return max(positions)[1]


def rows_read(split: str, count: int, seconds: float) -> str:
    """The rows so far and their rate in words.

    >>> rows_read("train", 12345, 100.0), rows_read("val", 3, 0.0), rows_read("test", 5, 20.0)
    ('train, 12,345 rows read, 123 a second', 'val, 3 rows read', 'test, 5 rows read, 0.2 a second')
    """
    rate = count / seconds if seconds else 0
    pace = f", {rate:,.{0 if rate >= 10 else 1}f} a second" if rate else ""
    return f"{split}, {count:,} rows read{pace}"


def duration(seconds: float) -> str:
    """Seconds as a person writes them.

    >>> duration(42), duration(150), duration(7300)
    ('42 s', '2 min 30 s', '2 h 1 min')
    """
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
