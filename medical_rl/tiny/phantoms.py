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

from collections.abc import Iterator

from medical_rl.errors import UserError, unknown
from medical_rl.images import encode_png
from medical_rl.sample import Sample
from medical_rl.tiny.drawing import SIDE, stream
from medical_rl.tiny.phantom_tasks import classification, grading, localisation, questions
from medical_rl.tiny.phantom_vqa import MODALITIES, QUESTION_TYPES, vqa

GRIDS = (1, 4, 7, 8, 14)  # a disc is two or three steps of the grid wide
SPLITS = ("warm_start", "train", "val", "test")
SIZES = {"warm_start": 1024, "train": 2000, "val": 100, "test": 300}
TASKS = {
    "grading": grading,
    "classification": classification,
    "localisation": localisation,
    "questions": questions,
    "vqa": vqa,
}
WRONG = {
    "grading": "the label is one grade too low (where there is a lower grade)",
    "classification": "the label is another shape",
    "localisation": "the box is shifted",
    "questions": "yes and no are exchanged",
    "vqa": "the report and the answer are of another picture",
}


def rows(
    source=None,
    split: str = "train",
    *,
    task: str = "grading",
    seed: int = 0,
    sizes=None,
    label_noise: float = 0.0,
    modalities=None,
    question_types=None,
    grid: int = 1,
) -> Iterator[Sample]:
    """Samples of `split`, drawn by code.

    task         grading (kind grade, 0 to 4), classification (kind label), localisation (kind box) or
                 questions (kind yes_no, with concepts) or vqa (several modalities and question types, with a report)
    sizes        {split: rows}; SIZES where a split is not named
    label_noise  share of warm_start rows whose label is wrong on purpose: a grade one too low
                 (grade 0 stays, nothing is below it), another shape, a shifted box
    grid         of the task localisation: the boxes' edges are multiples of so many pixels
    modalities, question_types  of the task vqa: those wanted; null takes all
    """
    if task not in TASKS:
        raise unknown("phantom task", task, TASKS)
    if split not in SPLITS:
        raise unknown("phantom split", split, SPLITS)
    count = {**SIZES, **dict(sizes or {})}[split]
    chosen = _chosen(task, modalities, question_types, grid)
    for index in range(count):
        rng = stream(seed, task, split, index)
        sample = TASKS[task](rng, index, **chosen)
        wrong = split == "warm_start" and rng.random() < label_noise
        answer, thought = (
            (sample["wrong"], sample["wrong_thought"]) if wrong else (sample["truth"], sample["thought"])
        )
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
            meta={"truth": sample["truth"], "thought": thought, "phantom": True, **sample.get("meta", {})},
        )


def describe(
    source=None,
    *,
    task: str = "grading",
    seed: int = 0,
    sizes=None,
    label_noise: float = 0.0,
    modalities=None,
    question_types=None,
    grid: int = 1,
) -> dict:
    """What the data card says of these phantoms."""
    if task not in TASKS:
        raise unknown("phantom task", task, TASKS)
    _chosen(task, modalities, question_types, grid)
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


def _chosen(task: str, modalities, question_types, grid: int) -> dict:
    """What a task is told: of vqa what it draws and asks, of localisation its grid; UserError for what it does not take."""
    wanted = {"modalities": (modalities, MODALITIES), "question_types": (question_types, QUESTION_TYPES)}
    chosen = {}
    if grid != 1:
        if task != "localisation" or grid not in GRIDS:
            raise UserError(
                f"grid={grid} is of the phantom task localisation, one of {', '.join(map(str, GRIDS))}; asked of {task}."
            )
        chosen["grid"] = int(grid)
    for name, (given, known) in wanted.items():
        if given is None:
            continue
        if task != "vqa":
            raise UserError(f"The phantom task {task} takes no {name}; vqa does.")
        for value in given:
            if value not in known:
                raise unknown(f"one of the phantom {name} named", value, known)
        chosen[name] = tuple(given)
    return chosen
