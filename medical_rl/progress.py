"""What a person sees while a stage runs: a bar with step and ETA, or plain lines where there is no terminal.

The source is metrics.jsonl (one line a step, appended by the stage) and, before the first step,
the stage's log. Nothing is printed by the stage itself.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from rich.console import Console

HEARTBEAT_S = 10.0
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


SHOWN = (
    ("reward/total", "reward"),
    ("reward/accuracy", "accuracy"),
    ("validation/score", "validation"),
    ("train/loss", "loss"),
)


class StageProgress:
    """Prints the progress of one stage; call `look` often, it prints only what is new or due."""

    def __init__(self, console: Console, stage: str, metrics: Path, log: Path, total: int | None):
        self.console, self.stage, self.metrics, self.log, self.total = console, stage, metrics, log, total
        self.start = self.printed = self.moved = time.monotonic()
        self.step, self.first, self.size = None, None, -1
        if metrics.exists():  # steps of an earlier attempt are not progress of this one
            self.step = max(read_metrics(metrics, stage), default=None)
            self.size = metrics.stat().st_size

    def look(self) -> None:
        """None; prints a line for a new step (at most one a second), or a heartbeat after 10 silent seconds."""
        size = self.metrics.stat().st_size if self.metrics.exists() else -1
        now = time.monotonic()
        if size != self.size:
            self.size = size
            steps = read_metrics(self.metrics, self.stage)
            newest = max(steps, default=None)
            if newest is not None and newest != self.step:
                self.step, self.moved = newest, now
                self.first = self.first or (newest, now)
                if now - self.printed >= 1 or newest == self.total:
                    self._print(self._line(steps[newest], now))
        if now - self.printed >= HEARTBEAT_S:
            where = f"step {self.step}{f' of {self.total}' if self.total else ''}" if self.first else phase(self.log)
            self._print(f"still working, {where}, {duration(now - self.start)} so far")

    def _line(self, metrics: dict, now: float) -> str:
        of = f"/{self.total}" if self.total else ""
        figures = ", ".join(f"{says} {metrics[name]:.3f}" for name, says in SHOWN if name in metrics)
        eta = ""
        if self.total and self.first and self.step > self.first[0]:
            rate = (now - self.first[1]) / (self.step - self.first[0])
            eta = f", about {duration(rate * (self.total - self.step))} left"
        return f"step {self.step}{of}: {figures}{eta}"

    def _print(self, text: str) -> None:
        self.console.print(f"  [dim]{self.stage}[/dim]  {text}", highlight=False)
        self.printed = time.monotonic()

    def silent_s(self) -> float:
        """Seconds since the stage last moved: a new step, or a growing log."""
        if self.log.exists():
            self.moved = max(self.moved, time.monotonic() - (time.time() - self.log.stat().st_mtime))
        return time.monotonic() - self.moved
