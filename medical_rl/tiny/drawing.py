"""How phantom pictures are drawn: a background that differs in every picture, and soft discs on it."""

import numpy as np

from medical_rl.seeding import hash_order

SIDE = 56  # pixels of a picture's side


def picture_rng(*names) -> np.random.Generator:
    """A random stream for each name, such as (seed, task, split, index); none depends on another's length."""
    return np.random.default_rng(hash_order("/".join(map(str, names))))


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


def graded_place(rng, grade: int) -> tuple[float, np.ndarray]:
    """(radius, centre as y, x) of a disc graded 1 to 4 by its size; all in the picture where it fits."""
    radius = 3 + 4 * grade + rng.uniform(-0.7, 0.7)
    margin = min(radius, SIDE / 2 - 4)
    return radius, rng.uniform(margin, SIDE - margin, 2)


def grey_levels(image: np.ndarray) -> np.ndarray:
    """`image` as grey levels 0 to 255."""
    return np.clip(image, 0, 255).astype(np.uint8)
