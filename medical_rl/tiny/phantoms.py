"""Phantom images drawn by code, with known truth: classification, grading and localisation.

Source: none, every pixel is computed here from a seed. Licence: that of this package.
One row: a 56 x 56 grey picture, one soft bright disc of radius 11, question "What is the grade of the disc,
from 0 to 4?", answer "2".
What the splits do not prove: anything about patients. They prove that an engine learns.

Every picture has a random stream of its own, named by (seed, task, split, index), so splits are disjoint by
construction and a split does not change when another grows.

Warm-start labels may be made wrong on purpose (`label_noise`), as pseudo-labels are; a row keeps the truth in
meta["truth"], and RL and test rows are always true.
"""

from collections.abc import Iterator

from medical_rl.errors import UserError, unknown
from medical_rl.images import encode_png
from medical_rl.sample import Sample
from medical_rl.tiny.drawing import SIDE, picture_rng
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
        drawn = TASKS[task](rng, index, **options)
        answer, thought = drawn["truth"], drawn["thought"]
        if split == "warm_start" and rng.random() < label_noise:
            answer, thought = drawn["wrong"], drawn["wrong_thought"]
        meta = {"truth": drawn["truth"], "thought": thought, "phantom": True}
        yield Sample(
            id=f"phantom_{task}/{seed}/{split}/{index}",
            source=f"phantom_{task}",
            question=drawn["question"],
            kind=drawn["kind"],
            answer=answer,
            choices=drawn["choices"],
            images=(encode_png(drawn["image"]),),
            group=f"{split}/{index}",
            split=split,
            concepts=drawn.get("concepts", ()),
            knowledge=drawn["knowledge"],
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
            f"in {label_noise:.0%} of its rows {WRONG[task]}. "
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
