"""How far a preparation is: a bar on a terminal, elsewhere a line now and then (a stage's parent shows the newest)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from medical_rl.sample import Sample

LOOK_S = 0.2
LINE_S = 10.0
MARK = "prepare: "  # how a line begins, by which `medical_rl.progress.phase` knows it in a stage's log


class Pace:
    """Counts rows on their way: `with Pace() as pace:` and `pace.reading(split, rows)` in place of the rows."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        # How many rows a source has is known at its end only, so the bar tells that rows come, not how many are left.
        columns = SpinnerColumn(), BarColumn(bar_width=16), TextColumn("{task.description}"), TimeElapsedColumn()
        self.bar = Progress(*columns, console=self.console, transient=True) if self.console.is_terminal else None

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
    return f"{split}, {count:,} rows read" + (f", {rate:,.{0 if rate >= 10 else 1}f} a second" if rate else "")
