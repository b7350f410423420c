"""Phantom images drawn by code, with known truth: classification, grading, localisation, questions, vqa.

Source: none, every pixel is computed here from a seed. Licence: that of this package.
One row: a 56 x 56 grey picture, one soft bright disc of radius 11, question "What is the grade of the disc,
from 0 to 4?", answer "2".
What the splits do not prove: anything about patients. They prove that an engine learns.

Every picture has a random stream of its own, named by (seed, task, split, index), so splits are disjoint by
construction and a split does not change when another grows. Warm-start labels may be made wrong on purpose
(`label_noise`), as pseudo-labels are; a row keeps the truth in meta["truth"], and RL and test rows are true.

A task is `(rng, index) -> {"image", "kind", "question", "truth", "thought", "wrong"}`, where they apply also
"choices", "knowledge", "concepts", "meta" and "wrong_thought" (else the thought); `index` runs over its
classes, and `rng` draws the rest.
"""

import json
from collections.abc import Iterator

import numpy as np

from medical_rl.errors import UserError, unknown
from medical_rl.images import encode_png
from medical_rl.sample import Sample
from medical_rl.seeding import hash_order

SIDE = 56  # pixels of a picture's side
SPLITS = ("warm_start", "train", "val", "test")
SIZES = {"warm_start": 1024, "train": 2000, "val": 100, "test": 300}
GRIDS = (1, 4, 7, 8, 14)  # a disc is two or three steps of the grid wide
SHAPES = ("disc", "ring", "stripes")
GRADES = ("0", "1", "2", "3", "4")
# Of the task vqa: three ways to draw a picture, and two questions about it.
MODALITIES = ("bright", "dark", "speckled")
QUESTION_TYPES = ("grading", "side")
# Further ways to ask than `facts_question`'s own, for a generator.
WORDINGS = {
    "grading": ("Which grade from 0 to 4 has the disc?", "How is the disc graded, from 0 to 4?"),
    "side": ("Where is the disc: on which side?", "The disc lies on which side?"),
}
DISC_SIZES = ("no", "a small", "a medium", "a large", "a huge")
SIDES = ("left", "right", "none")


def picture_rng(*names) -> np.random.Generator:
    """A random stream for each name, such as (seed, task, split, index); none depends on another's length."""
    return np.random.default_rng(hash_order("/".join(map(str, names))))


def background(rng) -> np.ndarray:
    """A SIDE x SIDE float picture in grey levels: level, slope and noise differ in every picture."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    slope = rng.normal(0, 6, 2)
    return rng.uniform(40, 60) + slope[0] * y + slope[1] * x + rng.normal(0, 4, (SIDE, SIDE))


def soft_disc(centre, radius: float) -> np.ndarray:
    """A SIDE x SIDE mask in [0, 1]: 1 inside the disc, 0 outside, 1.5 pixels of edge."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    distance = np.hypot(y - centre[0], x - centre[1])
    return np.clip((radius - distance) / 1.5 + 0.5, 0, 1)


def graded_place(rng, grade: int) -> tuple[float, np.ndarray]:
    """(radius, centre as y, x) of a disc graded 1 to 4 by its size; all in the picture where it fits."""
    radius = 3 + 4 * grade + rng.uniform(-0.7, 0.7)
    margin = min(radius, SIDE / 2 - 4)
    return radius, rng.uniform(margin, SIDE - margin, 2)


def grey_levels(image: np.ndarray) -> np.ndarray:
    """`image` as grey levels 0 to 255."""
    return np.clip(image, 0, 255).astype(np.uint8)


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
        "choices": GRADES,
        "knowledge": "0 no disc; 1 small; 2 medium; 3 large; 4 very large",
        "truth": str(grade),
        "thought": "the size of the disc",
        "wrong": str(max(grade - 1, 0)),
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
    }


def localisation(rng, index: int, grid: int = 1) -> dict:
    """One bright disc and its box; wrong: the box shifted by 6 pixels.

    With a `grid` of pixels above 1 the box's edges are multiples of it, and the wrong box is one step further
    right and down, where there is room for either: a coarser task, and errors all of one kind.
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
        "truth": json.dumps(edges.tolist()),
        "thought": "one bright lesion",
        "wrong": json.dumps(shifted.tolist()),
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


def vqa(rng, index: int, modalities=MODALITIES, question_types=QUESTION_TYPES) -> dict:
    """A phantom's picture, question, truth and report; `index` runs over grades, modalities, question types.

    One disc graded 0 (none) to 4 by its size. meta["facts"] says all that is true of the picture, so that a
    generator may ask about any of it; the thought is a short report from which the answer follows.
    """
    rest, grade = divmod(index, len(DISC_SIZES))
    rest, number = divmod(rest, len(modalities))
    modality, question_type = modalities[number], question_types[rest % len(question_types)]
    image, side = _picture(rng, grade, modality)
    facts = {"grade": grade, "side": side}
    question = facts_question(question_type, facts)
    wrong, wrong_thought = untrue_statement(question_type, facts, rng)
    return question | {
        "image": image,
        "truth": question["answer"],
        "wrong": wrong,
        "wrong_thought": wrong_thought,
        "meta": {"facts": facts, "modality": modality, "question_type": question_type},
    }


def facts_question(question_type: str, facts: dict) -> dict:
    """What is asked of a picture: {"question", "kind", "choices", "knowledge", "answer", "thought"}."""
    if question_type == "grading":
        grade = facts["grade"]
        return {
            "question": "What is the grade of the disc, from 0 to 4?",
            "kind": "grade",
            "choices": GRADES,
            "knowledge": "0 no disc; 1 small; 2 medium; 3 large; 4 huge",
            "answer": str(grade),
            "thought": f"{DISC_SIZES[grade]} disc is seen",
        }
    side = facts["side"]
    return {
        "question": "On which side is the disc?",
        "kind": "label",
        "choices": SIDES,
        "knowledge": "",
        "answer": side,
        "thought": "no disc is seen" if side == "none" else f"the disc lies on the {side}",
    }


def changed_facts(question_type: str, facts: dict, rng) -> dict:
    """`facts` with what `question_type` asks about changed to something untrue."""
    if question_type == "grading":
        return facts | {"grade": (facts["grade"] + int(rng.integers(1, len(DISC_SIZES)))) % len(DISC_SIZES)}
    others = [side for side in SIDES if side != facts["side"]]
    return facts | {"side": others[int(rng.integers(len(others)))]}


def untrue_statement(question_type: str, facts: dict, rng) -> tuple[str, str]:
    """(answer, thought) of `question_type` where the picture is another than these facts say."""
    other = facts_question(question_type, changed_facts(question_type, facts, rng))
    return other["answer"], other["thought"]


def _picture(rng, grade: int, modality: str) -> tuple[np.ndarray, str]:
    """(the picture, the side its disc lies on: left, right or none)."""
    image = background(rng)
    if modality == "speckled":
        image = image * rng.gamma(6.0, 1 / 6.0, image.shape)
    side = "none"
    if grade:
        radius, centre = graded_place(rng, grade)
        side, inner = ("left", SIDE / 2 - 3) if centre[1] < SIDE / 2 else ("right", SIDE / 2 + 3)
        if abs(centre[1] - SIDE / 2) < 3:  # a disc in the middle has no side
            centre[1] = inner
        image = image + rng.uniform(90, 120) * soft_disc(centre, radius)
    return grey_levels(220 - image if modality == "dark" else image), side


# Task -> (what draws it, what its labels that are wrong on purpose are).
TASKS = {
    "grading": (grading, "the label is one grade too low (where there is a lower grade)"),
    "classification": (classification, "the label is another shape"),
    "localisation": (localisation, "the box is shifted"),
    "questions": (questions, "yes and no are exchanged"),
    "vqa": (vqa, "the report and the answer are of another picture"),
}


def rows(
    source=None, split: str = "train", *, task: str = "grading", seed: int = 0, sizes=None,
    label_noise: float = 0.0, modalities=None, question_types=None, grid: int = 1,
) -> Iterator[Sample]:  # fmt: skip
    """Samples of `split`, drawn by code.

    task         grading (kind grade, 0 to 4), classification (kind label), localisation (kind box) or
                 questions (kind yes_no, with concepts) or vqa (several modalities and question types, with a
                 report)
    sizes        {split: rows}; SIZES where a split is not named
    label_noise  share of warm_start rows whose label is wrong on purpose: a grade one too low
                 (grade 0 stays, nothing is below it), another shape, a shifted box
    grid         of the task localisation: the boxes' edges are multiples of so many pixels
    modalities, question_types  of the task vqa: those wanted; null takes all
    """
    options = _task_options(task, modalities, question_types, grid)
    if split not in SPLITS:
        raise unknown("phantom split", split, SPLITS)
    for index in range((SIZES | dict(sizes or {}))[split]):
        rng = picture_rng(seed, task, split, index)
        drawn = TASKS[task][0](rng, index, **options)
        answer, thought = drawn["truth"], drawn["thought"]
        if split == "warm_start" and rng.random() < label_noise:
            answer, thought = drawn["wrong"], drawn.get("wrong_thought", thought)
        meta = {"truth": drawn["truth"], "thought": thought, "phantom": True}
        yield Sample(
            id=f"phantom_{task}/{seed}/{split}/{index}",
            source=f"phantom_{task}",
            question=drawn["question"],
            kind=drawn["kind"],
            answer=answer,
            choices=drawn.get("choices", ()),
            images=(encode_png(drawn["image"]),),
            group=f"{split}/{index}",
            split=split,
            concepts=drawn.get("concepts", ()),
            knowledge=drawn.get("knowledge", ""),
            size=(SIDE, SIDE),
            meta=meta | drawn.get("meta", {}),
        )


def describe(
    source=None, *, task: str = "grading", seed: int = 0, sizes=None,
    label_noise: float = 0.0, modalities=None, question_types=None, grid: int = 1,
) -> dict:  # fmt: skip
    """What the data card says of these phantoms."""
    _task_options(task, modalities, question_types, grid)
    notes = ["Phantom images drawn by code. They are not medical images."]
    if label_noise:
        notes.append(
            "The warm start's labels are wrong on purpose, as imperfect pseudo-labels are: "
            f"in {label_noise:.0%} of its rows {TASKS[task][1]}. "
            "The rows of RL, validation and test have true labels."
        )
    card = {"source": f"phantom_{task}", "phantom": True, "licence": "drawn by this package"}
    return card | {"notes": notes, "seed": seed}


def _task_options(task: str, modalities, question_types, grid: int) -> dict:
    """What a task is given: vqa what it draws and asks, localisation its grid.

    Raises UserError for an unknown task and for what it does not take.
    """
    if task not in TASKS:
        raise unknown("phantom task", task, TASKS)
    options = {}
    if grid != 1:
        if task != "localisation" or grid not in GRIDS:
            grids = ", ".join(map(str, GRIDS))
            raise UserError(
                f"grid={grid} is of the phantom task localisation, one of {grids}; asked of {task}."
            )
        options["grid"] = int(grid)
    lists = {"modalities": (modalities, MODALITIES), "question_types": (question_types, QUESTION_TYPES)}
    for name, (chosen, known) in lists.items():
        if chosen is None:
            continue
        if task != "vqa":
            raise UserError(f"The phantom task {task} takes no {name}; vqa does.")
        for value in chosen:
            if value not in known:
                raise unknown(f"one of the phantom {name} named", value, known)
        options[name] = tuple(chosen)
    return options
