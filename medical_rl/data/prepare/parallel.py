"""Rows made several at a time: an ordered map that works a little ahead.

Decoding an image lets go of Python's lock, so threads do: nothing is copied between processes, and no
worker can die alone.
"""

import collections
import contextlib
import contextvars
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from medical_rl.data.drops import Drops
from medical_rl.errors import UserError

# Each decodes an image of up to 50 Mpixel: more would be a question of memory.
MOST_BY_DEFAULT = 8
WAITING = 3  # rows a worker that are begun or wait for their turn

_workers: contextvars.ContextVar[int] = contextvars.ContextVar("workers", default=1)

Item, Row = TypeVar("Item"), TypeVar("Row")


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

    def make_with_own_drops(item: Item) -> tuple[Row | None, Drops]:
        own = Drops()
        return make(item, own), own

    def next_row() -> Row | None:
        row, own = waiting.popleft().result()
        drops.take(own)
        return row

    waiting: collections.deque[Future] = collections.deque()
    pool = ThreadPoolExecutor(number, thread_name_prefix="rows")
    try:
        for item in items:
            waiting.append(pool.submit(make_with_own_drops, item))
            if len(waiting) >= number * WAITING:
                yield next_row()
        while waiting:
            yield next_row()
    finally:
        # Also where a row failed, or nobody asks for the rest: what is begun ends, what is not never begins.
        pool.shutdown(cancel_futures=True)
