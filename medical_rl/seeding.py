""".

Random streams by name: what is drawn for one row depends on its name, never on the rows before it.
"""

from __future__ import annotations

import hashlib

import numpy as np


def hash_order(name: str) -> int:
    """A place for `name`, which begins with the seed and what is drawn, in [0, 2^64).

    >>> sorted("abc", key=lambda row: place(f"1:{row}")) == sorted("cba", key=lambda row: place(f"1:{row}"))
    True
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def stream(seed: int, *names: str) -> np.random.Generator:
    """A generator of its own for (seed, names).

    >>> float(stream(0, "deletion", "row 1").random()) == float(stream(0, "deletion", "row 1").random())
    True
    """
    return np.random.default_rng(_number(str(seed), *names))


def rank(*names: str) -> float:
    """A number in [0, 1) that looks drawn and is always the same for these names: for orders and splits without a stream.

    >>> 0 <= rank("a", "b") < 1 and rank("a", "b") != rank("ab", "")
    True
    """
    return _number(*names) / 2**64


def _number(*names: str) -> int:
    named = "".join(
        f"{len(name)}:{name}" for name in names
    )  # lengths, so that no two lists of names read the same
    return int.from_bytes(hashlib.sha256(named.encode("utf-8", "surrogatepass")).digest()[:8], "big")
