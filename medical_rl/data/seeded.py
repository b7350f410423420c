"""A seeded order of names that does not change when names are added: what a share or a first k of rows is drawn by."""

from __future__ import annotations

import hashlib


def place(name: str) -> int:
    """A place for `name`, which begins with the seed and what is drawn, in [0, 2^64).

    >>> sorted("abc", key=lambda row: place(f"1:{row}")) == sorted("cba", key=lambda row: place(f"1:{row}"))
    True
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
