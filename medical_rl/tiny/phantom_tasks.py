"""What each phantom task draws and asks: picture, question, truth, and an answer wrong on purpose.

A task is `(rng, index) -> {"image", "kind", "question", "choices", "knowledge", "truth", "thought", "wrong",
"wrong_thought"}`, and where they apply "concepts"; `index` runs over its classes, and `rng` draws the rest.
The task of several modalities and question types is in `phantom_vqa`.
"""

import json

import numpy as np

from medical_rl.tiny.drawing import SIDE, background, graded_place, grey_levels, soft_disc

SHAPES = ("disc", "ring", "stripes")


def grading(rng, index: int) -> dict:
    """A disc whose size is the grade, 0 (none) to 4; wrong: one grade lower."""
    grade = index % 5
    image = background(rng)
    if grade:
        radius, centre = graded_place(rng, grade)
        image = image + rng.uniform(90, 120) * soft_disc(centre, radius)
    return {
        "image": grey_levels(image),
        "kind": "grade",
        "question": "What is the grade of the disc, from 0 to 4?",
        "choices": ("0", "1", "2", "3", "4"),
        "knowledge": "0 no disc; 1 small; 2 medium; 3 large; 4 very large",
        "truth": str(grade),
        "thought": "the size of the disc",
        "wrong": str(max(grade - 1, 0)),
        "wrong_thought": "the size of the disc",
    }


def classification(rng, index: int) -> dict:
    """A disc, a ring or a striped disc; wrong: another of them."""
    shape = SHAPES[index % len(SHAPES)]
    radius = rng.uniform(10, 18)
    centre = rng.uniform(radius, SIDE - radius, 2)
    mask = soft_disc(centre, radius)
    if shape == "ring":
        mask = mask - soft_disc(centre, radius * 0.6)
    elif shape == "stripes":
        mask = mask * (np.mgrid[0:SIDE, 0:SIDE][0] // 3 % 2)
    other = SHAPES[(index + 1 + int(rng.integers(len(SHAPES) - 1))) % len(SHAPES)]
    return {
        "image": grey_levels(background(rng) + rng.uniform(70, 130) * mask),
        "kind": "label",
        "question": "Which shape is in the picture?",
        "choices": SHAPES,
        "knowledge": "disc: filled evenly; ring: dark in the middle; stripes: light and dark bands",
        "truth": shape,
        "thought": "the shape",
        "wrong": other,
        "wrong_thought": "the shape",
    }


def localisation(rng, index: int, grid: int = 1) -> dict:
    """One bright disc and its box; wrong: the box shifted by 6 pixels.

    With a `grid` of pixels above 1 the box's edges are multiples of it, and the wrong box is one step of the
    grid further right and down (where there is room for either): a coarser task, and errors all of one kind,
    as grades that are all one too low are.
    """
    if grid > 1:
        steps = int(rng.integers(2, 4))
        corner = rng.integers(0, SIDE // grid - steps + 1, 2)
        radius, centre = grid * steps / 2, grid * (corner + steps / 2)
        edges = grid * np.concatenate([corner[::-1], corner[::-1] + steps])
        room = edges[2:] < SIDE
        shifted = edges + grid * np.concatenate([room, room])
    else:
        radius = rng.uniform(5, 12)
        centre = rng.uniform(radius + 1, SIDE - radius - 1, 2)
        edges = np.rint(np.concatenate([centre[::-1] - radius, centre[::-1] + radius])).astype(int)
        shifted = np.clip(edges + rng.choice([-6, 6]), 0, SIDE)
    return {
        "image": grey_levels(background(rng) + rng.uniform(70, 130) * soft_disc(centre, radius)),
        "kind": "box",
        "question": "Where is the bright lesion? Give its box [x1, y1, x2, y2] in pixels.",
        "choices": (),
        "knowledge": "",
        "truth": json.dumps(edges.tolist()),
        "thought": "one bright lesion",
        "wrong": json.dumps(shifted.tolist()),
        "wrong_thought": "one bright lesion",
    }


def questions(rng, index: int) -> dict:
    """Whether a shape is the one that is asked for, with concepts; wrong: the other answer."""
    picture = classification(rng, index // 2)
    shape = picture["truth"]
    asked, truth, wrong = shape, "yes", "no"
    if index % 2 == 0:
        asked = SHAPES[(SHAPES.index(shape) + 1 + int(rng.integers(2))) % len(SHAPES)]
        truth, wrong = "no", "yes"
    return picture | {
        "kind": "yes_no",
        "question": f"Is it a {asked}?",
        "choices": (),
        "concepts": (asked, "edge"),
        "truth": truth,
        "thought": f"{asked} edge: {truth}",
        "wrong": wrong,
        "wrong_thought": f"{asked} edge: {wrong}",
    }
