"""How far a count is that has a known end: a bar in a terminal, elsewhere a line now and then."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

HEARTBEAT_S = 10.0


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
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    done, printed = 0, time.monotonic()

    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)

        def advance() -> None:
            nonlocal done, printed
            done += 1
            bar.advance(task)
            if not console.is_terminal and time.monotonic() - printed >= HEARTBEAT_S:
                console.print(f"{title}: {done:,} of {total:,}", highlight=False)
                printed = time.monotonic()

        yield advance
