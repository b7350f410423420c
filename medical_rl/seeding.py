"""Draws by name: what is drawn for a row depends on the seed and its name, not on the rows before it."""

import hashlib

import numpy as np


def hash_order(name: str) -> int:
    """A number in [0, 2^64) to order by; `name` begins with the seed and what is drawn."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def named_rng(seed: int, *names: str) -> np.random.Generator:
    """A random generator of its own for (seed, names)."""
    return np.random.default_rng(hash_order(_joined(str(seed), *names)))


def rank(*names: str) -> float:
    """A number in [0, 1) that looks drawn and is always the same for these names: for orders and splits."""
    return hash_order(_joined(*names)) / 2**64


def _joined(*names: str) -> str:
    """The names with their lengths, so that no two lists of names read the same."""
    return "".join(f"{len(name)}:{name}" for name in names)
