"""Rows on their way from a reader: several made at a time, and those left out remembered for the data card.

A reader that may leave rows out has a keyword `drops` in `rows(source, split, *, drops=None, ...)` and calls
`drops.add(row, reason, detail)` instead of yielding the row. Decoding an image lets go of Python's lock, so
threads make rows: nothing is copied between processes, and no worker can die alone.
"""

import collections
import contextlib
import contextvars
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from medical_rl.errors import UserError

EXAMPLES = 5
# Each decodes an image of up to 50 Mpixel: more would be a question of memory.
MOST_BY_DEFAULT = 8
WAITING = 3  # rows a worker that are begun or wait for their turn

_workers: contextvars.ContextVar[int] = contextvars.ContextVar("workers", default=1)

Item, Row = TypeVar("Item"), TypeVar("Row")


class Drops:
    """Rows left out, each once and with its first reason, however many passes over a table tell of it."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[str, str]] = {}
        self._settled: dict[str, dict[str, None]] = {}

    def add(self, row: str, reason: str, detail: str = "") -> None:
        """Add a row, named as in its source: `reason` is one of a few (counted), `detail` the row's own."""
        self._rows.setdefault(row, (reason, detail))

    def take(self, other: "Drops") -> None:
        """Add the rows of `other`, in their order."""
        for row, why in other._rows.items():
            self._rows.setdefault(row, why)
        for what, rows in other._settled.items():
            self._settled.setdefault(what, {}).update(rows)

    def settle(self, row: str, what: Iterable[str]) -> None:
        """Note what was settled of the image of a row that stays (see `medical_rl.images.settle`)."""
        for each in what:
            self._settled.setdefault(each, {})[row] = None

    def settled(self) -> dict[str, dict]:
        """{what was settled of images: {"rows": how many, "examples": the first few}}."""
        settled = {}
        for what, rows in sorted(self._settled.items()):
            settled[what] = {"rows": len(rows), "examples": list(rows)[:EXAMPLES]}
        return settled

    def summary(self) -> dict[str, dict]:
        """{reason: {"rows": how many, "examples": the first few}}, the commonest reason first."""
        reasons: dict[str, dict] = {}
        for row, (reason, detail) in self._rows.items():
            entry = reasons.setdefault(reason, {"rows": 0, "examples": []})
            entry["rows"] += 1
            if len(entry["examples"]) < EXAMPLES:
                entry["examples"].append(f"{row}: {detail}" if detail else row)
        return dict(sorted(reasons.items(), key=lambda item: -item[1]["rows"]))


def drop_sentences(dropped: Mapping[str, Mapping]) -> list[str]:
    """A sentence for each reason of a summary.

    >>> drop_sentences({"its image is broken": {"rows": 1, "examples": ["row 7"]}})
    ['Dropped 1 row: its image is broken (row 7).']
    """
    lines = []
    for reason, entry in dropped.items():
        rows = f"{entry['rows']:,} row{'s' * (entry['rows'] != 1)}"
        lines.append(f"Dropped {rows}: {reason} ({_shown(entry)}).")
    return lines


def settled_sentences(settled: Mapping[str, Mapping]) -> list[str]:
    """A sentence for each thing that was settled of images.

    >>> settled_sentences({"turned as the orientation tag says": {"rows": 1, "examples": ["row 7"]}})
    ['1 image was turned as the orientation tag says (row 7).']
    """
    lines = []
    for what, entry in settled.items():
        images = "1 image was" if entry["rows"] == 1 else f"{entry['rows']:,} images were"
        lines.append(f"{images} {what} ({_shown(entry)}).")
    return lines


def _shown(entry: Mapping) -> str:
    return "; ".join(entry["examples"]) + ("; ..." if entry["rows"] > len(entry["examples"]) else "")


@contextlib.contextmanager
def workers(number: int | None) -> Iterator[None]:
    """Let `parallel_map` make `number` rows at a time; None: as many as CPUs, at most MOST_BY_DEFAULT."""
    if number is None:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        number = min(cpus, MOST_BY_DEFAULT)
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise UserError(
            f"num_proc must be a whole number of at least 1, not {number!r}; null takes all CPUs."
        )
    token = _workers.set(number)
    try:
        yield
    finally:
        _workers.reset(token)


def parallel_map(
    make: Callable[[Item, Drops], Row | None], items: Iterable[Item], drops: Drops
) -> Iterator[Row]:
    """What `make(item, drops)` gives for each item, in order, without the Nones.

    With several workers a few items are read and made ahead, each with drops of its own, which are told to
    `drops` in the items' order. What `make` raises is raised at its row. `make` must not change what rows
    share, and should take a millisecond or more: for less, threads cost more than they save.
    """
    rows = _make_all(make, items, drops, _workers.get())
    return (row for row in rows if row is not None)


def _make_all(make, items: Iterable[Item], drops: Drops, number: int) -> Iterator[Row | None]:
    if number == 1:
        for item in items:
            yield make(item, drops)
        return

    def next_row() -> Row | None:
        own, row = waiting.popleft()
        made = row.result()
        drops.take(own)
        return made

    waiting: collections.deque = collections.deque()
    pool = ThreadPoolExecutor(number, thread_name_prefix="rows")
    try:
        for item in items:
            own = Drops()
            waiting.append((own, pool.submit(make, item, own)))
            if len(waiting) >= number * WAITING:
                yield next_row()
        while waiting:
            yield next_row()
    finally:
        # Also where a row failed, or nobody asks for the rest: what is begun ends, what is not never begins.
        pool.shutdown(cancel_futures=True)
