"""Phantom images drawn by code, with known truth: classification, grading and localisation.

Source: none, every pixel is computed here from a seed. Licence: that of this package.
One row: a 56 x 56 grey picture, one soft bright disc of radius 11, question "What is
the grade of the disc, from 0 to 4?", answer "2".
What the splits do not prove: anything about patients. They prove that an engine learns.

Every picture has a random stream of its own, named by (seed, task, split, index), so
splits are disjoint by construction and a split does not change when another grows.

Warm-start labels may be made wrong on purpose (`label_noise`), as pseudo-labels are; a
row keeps the truth in meta["truth"], and RL and test rows are always true.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np

from medical_rl.data.images import encode_png
from medical_rl.errors import unknown
from medical_rl.sample import Sample

SIDE = 56
SPLITS = ("warm_start", "train", "val", "test")
SIZES = {"warm_start": 1024, "train": 2000, "val": 100, "test": 300}
SHAPES = ("disc", "ring", "stripes")
WRONG = {
    "grading": "the label is one grade too low (where there is a lower grade)",
    "classification": "the label is another shape",
    "localisation": "the box is shifted",
    "questions": "yes and no are exchanged",
}


def rows(
    source=None, split: str = "train", *, task: str = "grading", seed: int = 0, sizes=None, label_noise: float = 0.0
) -> Iterator[Sample]:
    """Samples of `split`, drawn by code.

    task         grading (kind grade, 0 to 4), classification (kind label), localisation (kind box) or
                 questions (kind yes_no, with concepts)
    sizes        {split: rows}; SIZES where a split is not named
    label_noise  share of warm_start rows whose label is wrong on purpose: a grade one too low
                 (grade 0 stays, nothing is below it), another shape, a shifted box
    """
    if task not in TASKS:
        raise unknown("phantom task", task, TASKS)
    if split not in SPLITS:
        raise unknown("phantom split", split, SPLITS)
    count = {**SIZES, **dict(sizes or {})}[split]
    for index in range(count):
        rng = _stream(seed, task, split, index)
        sample = TASKS[task](rng, index)
        wrong = split == "warm_start" and rng.random() < label_noise
        answer, thought = (sample["wrong"], sample["wrong_thought"]) if wrong else (sample["truth"], sample["thought"])
        yield Sample(
            id=f"phantom_{task}/{seed}/{split}/{index}",
            source=f"phantom_{task}",
            question=sample["question"],
            kind=sample["kind"],
            answer=answer,
            choices=sample["choices"],
            images=(encode_png(sample["image"]),),
            group=f"{split}/{index}",
            split=split,
            concepts=sample.get("concepts", ()),
            knowledge=sample["knowledge"],
            size=(SIDE, SIDE),
            meta={"truth": sample["truth"], "thought": thought, "phantom": True},
        )


def describe(source=None, *, task: str = "grading", seed: int = 0, sizes=None, label_noise: float = 0.0) -> dict:
    """What the data card says of these phantoms."""
    if task not in TASKS:
        raise unknown("phantom task", task, TASKS)
    notes = ["Phantom images drawn by code. They are not medical images."]
    if label_noise:
        notes.append(
            f"The warm start's labels are wrong on purpose, as imperfect pseudo-labels are: in {label_noise:.0%} of its rows "
            f"{WRONG[task]}. The rows of RL, validation and test have true labels."
        )
    return {
        "source": f"phantom_{task}",
        "phantom": True,
        "licence": "drawn by this package",
        "notes": notes,
        "seed": seed,
    }


def _stream(seed: int, task: str, split: str, index: int) -> np.random.Generator:
    name = f"{seed}/{task}/{split}/{index}".encode()
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name).digest()[:8], "big"))


def _background(rng) -> np.ndarray:
    """A SIDE x SIDE float picture in grey levels: level, slope and noise differ in every picture."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    slope = rng.normal(0, 6, 2)
    return rng.uniform(40, 60) + slope[0] * y + slope[1] * x + rng.normal(0, 4, (SIDE, SIDE))


def _soft_disc(centre, radius: float, soft: float = 1.5) -> np.ndarray:
    """A SIDE x SIDE mask in [0, 1]: 1 inside the disc, 0 outside, `soft` pixels of edge."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    distance = np.hypot(y - centre[0], x - centre[1])
    return np.clip((radius - distance) / soft + 0.5, 0, 1)


def _finish(image: np.ndarray) -> np.ndarray:
    return np.clip(image, 0, 255).astype(np.uint8)


def _grading(rng, index: int) -> dict:
    grade = index % 5
    image = _background(rng)
    if grade:
        radius = 3 + 4 * grade + rng.uniform(-0.7, 0.7)
        margin = min(radius, SIDE / 2 - 4)
        centre = rng.uniform(margin, SIDE - margin, 2)
        image = image + rng.uniform(90, 120) * _soft_disc(centre, radius)
    low = max(grade - 1, 0)
    return {
        "image": _finish(image),
        "kind": "grade",
        "question": "What is the grade of the disc, from 0 to 4?",
        "choices": ("0", "1", "2", "3", "4"),
        "knowledge": "0 no disc; 1 small; 2 medium; 3 large; 4 very large",
        "truth": str(grade),
        "thought": "the size of the disc",
        "wrong": str(low),
        "wrong_thought": "the size of the disc",
    }


def _classification(rng, index: int) -> dict:
    shape = SHAPES[index % len(SHAPES)]
    radius = rng.uniform(10, 18)
    centre = rng.uniform(radius, SIDE - radius, 2)
    mask = _soft_disc(centre, radius)
    if shape == "ring":
        mask = mask - _soft_disc(centre, radius * 0.6)
    elif shape == "stripes":
        mask = mask * (np.mgrid[0:SIDE, 0:SIDE][0] // 3 % 2)
    other = SHAPES[(index + 1 + int(rng.integers(len(SHAPES) - 1))) % len(SHAPES)]
    return {
        "image": _finish(_background(rng) + rng.uniform(70, 130) * mask),
        "kind": "label",
        "question": "Which shape is in the picture?",
        "choices": SHAPES,
        "knowledge": "disc: filled evenly; ring: dark in the middle; stripes: light and dark bands",
        "truth": shape,
        "thought": "the shape",
        "wrong": other,
        "wrong_thought": "the shape",
    }


def _localisation(rng, index: int) -> dict:
    radius = rng.uniform(5, 12)
    centre = rng.uniform(radius + 1, SIDE - radius - 1, 2)
    box = [centre[1] - radius, centre[0] - radius, centre[1] + radius, centre[0] + radius]
    box = [int(round(v)) for v in box]
    shift = int(rng.choice([-6, 6]))
    shifted = [min(max(v + shift, 0), SIDE) for v in box]
    return {
        "image": _finish(_background(rng) + rng.uniform(70, 130) * _soft_disc(centre, radius)),
        "kind": "box",
        "question": "Where is the bright lesion? Give its box [x1, y1, x2, y2] in pixels.",
        "choices": (),
        "knowledge": "",
        "truth": json.dumps(box),
        "thought": "one bright lesion",
        "wrong": json.dumps(shifted),
        "wrong_thought": "one bright lesion",
    }


def _questions(rng, index: int) -> dict:
    picture = _classification(rng, index // 2)
    shape = picture["truth"]
    asked = shape if index % 2 else SHAPES[(SHAPES.index(shape) + 1 + int(rng.integers(2))) % len(SHAPES)]
    truth = "yes" if asked == shape else "no"
    return picture | {
        "kind": "yes_no",
        "question": f"Is it a {asked}?",
        "choices": (),
        "concepts": (asked, "edge"),
        "truth": truth,
        "thought": f"{asked} edge: {truth}",
        "wrong": "no" if truth == "yes" else "yes",
        "wrong_thought": f"{asked} edge: {'no' if truth == 'yes' else 'yes'}",
    }


TASKS = {
    "grading": _grading,
    "classification": _classification,
    "localisation": _localisation,
    "questions": _questions,
}
