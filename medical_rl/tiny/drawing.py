"""How phantom pictures are drawn: a background that differs in every picture, and soft discs on it."""

from __future__ import annotations

import hashlib

import numpy as np

SIDE = 56  # pixels of a picture's side


def stream(*names) -> np.random.Generator:
    """A random stream of its own for each name, such as (seed, task, split, index): none depends on another's length."""
    name = "/".join(map(str, names)).encode()
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name).digest()[:8], "big"))


def background(rng) -> np.ndarray:
    """A SIDE x SIDE float picture in grey levels: level, slope and noise differ in every picture."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    slope = rng.normal(0, 6, 2)
    return rng.uniform(40, 60) + slope[0] * y + slope[1] * x + rng.normal(0, 4, (SIDE, SIDE))


def soft_disc(centre, radius: float, soft: float = 1.5) -> np.ndarray:
    """A SIDE x SIDE mask in [0, 1]: 1 inside the disc, 0 outside, `soft` pixels of edge."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    distance = np.hypot(y - centre[0], x - centre[1])
    return np.clip((radius - distance) / soft + 0.5, 0, 1)


def finish(image: np.ndarray) -> np.ndarray:
    """`image` as grey levels 0 to 255."""
    return np.clip(image, 0, 255).astype(np.uint8)
