"""Which question of OmniMedVQA is in which split: drawn by image, or as Med-R1's files say."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from medical_rl.data.drops import Drops
from medical_rl.data.options import BadOptions
from medical_rl.data.prepare.group_splits import first_with_same_content, split_by_group
from medical_rl.data.sources import json_files
from medical_rl.data.sources.files import path_inside
from medical_rl.data_preprocess.omnimedvqa import files
from medical_rl.data_preprocess.omnimedvqa.files import Question
from medical_rl.errors import UserError, check_known

# Each question with the group that no split may divide.
GroupedQuestions = list[tuple[Question, str]]


def drawn_split(
    root: Path, access: tuple[str, ...], keep: Mapping, split: str, shares: Mapping, seed: int, drops: Drops
) -> GroupedQuestions:
    """The QA_information questions that the seed puts into `split`.

    keep  {field of Question: wanted names, None for all}
    """
    questions = []
    for path in files.qa_files(root, access):
        for index, row in enumerate(json_files.read_objects(path, ())):
            try:
                questions.append(files.from_qa(row, path))
            except BadOptions as error:
                drops.add(str(row.get("question_id") or f"{path.stem}/{index}"), str(error))
    read, filters = len(questions), []
    wanted_of = {field: _wanted_names(field, names, questions) for field, names in keep.items() if names}
    for field, wanted in wanted_of.items():
        filters.append(f"{field} {' or '.join(sorted(wanted))}")
        questions = [question for question in questions if getattr(question, field) in wanted]
    if read and not questions:
        told = "; ".join(filters)
        raise UserError(f"No question has all that is asked for: {told}. Leave one of these filters out.")
    questions = _distinct(questions, drops)
    return _in_split(questions, _image_groups(root, questions), split, shares, seed)


def med_r1_split(
    root: Path, folder: Path, split: str, tasks, overlap: str, val_share: float, seed: int, drops: Drops
) -> GroupedQuestions:
    """The questions of Med-R1's files; val is drawn from their train, and `overlap` is "drop" or "keep"."""
    told = {"test": Drops(), "train": Drops()}
    told["test" if split == "test" else "train"] = drops
    tested = _med_r1_questions(folder, "test", tasks, told["test"])
    trained = _med_r1_questions(folder, "train", tasks, told["train"])
    groups = _image_groups(root, [*trained, *tested])
    if split == "test":
        # Kept overlap is the user's wish: groups of their own keep `prepare` from refusing it as a leak.
        mark = "test:" if overlap == "keep" else ""
        return [(question, mark + groups[question.image]) for question in _distinct(tested, drops)]
    if overlap == "drop":
        test_groups, apart = set(_groups_of(tested, groups)), []
        for question in trained:
            if groups[question.image] in test_groups:
                drops.add(question.id, "its image is also in the test file")
            else:
                apart.append(question)
        trained = apart
    return _in_split(_distinct(trained, drops), groups, split, {"test": 0, "val": val_share}, seed)


def overlap_note(root: Path, folder: Path, tasks, overlap: str) -> str:
    """A sentence for the card: how many images Med-R1's train and test share, and their fate."""
    trained = _med_r1_questions(folder, "train", tasks, Drops())
    tested = _med_r1_questions(folder, "test", tasks, Drops())
    groups = _image_groups(root, [*trained, *tested])
    train_rows, test_groups = Counter(_groups_of(trained, groups)), set(_groups_of(tested, groups))
    shared = test_groups & train_rows.keys()
    rows = sum(map(train_rows.get, shared))
    what = "were left out of train" if overlap == "drop" else "were kept: test accuracy is too high"
    return (
        f"Med-R1's files: {len(shared):,} of {len(test_groups):,} test images are also in train; "
        f"the {rows:,} training rows about them {what}."
    )


def _wanted_names(field: str, names, questions: Iterable[Question]) -> set[str]:
    """The names to keep, spelt as ours; UserError for one that no question has."""
    wanted = set(map(str, [names] if isinstance(names, str) else names))
    if field == "modality":
        wanted = set(map(files.modality, wanted))
    there = {getattr(question, field) for question in questions}
    for name in sorted(wanted):
        check_known(f"{field.replace('_', ' ')} of OmniMedVQA", name, there)
    return wanted


def _med_r1_questions(folder: Path, split: str, tasks, drops: Drops) -> list[Question]:
    questions = []
    for path in files.med_r1_files(folder, split, tasks):
        for index, row in enumerate(json_files.read_objects(path, ())):
            try:
                questions.append(files.from_med_r1(row, path.stem, index))
            except BadOptions as error:
                drops.add(f"{path.stem}/{index}", str(error))
    return questions


def _distinct(questions: Iterable[Question], drops: Drops) -> list[Question]:
    """The questions without those whose id, or whose image, words and answer, another has."""
    distinct, ids, contents = [], set(), set()
    for question in questions:
        content = (question.image, question.question, question.answer, frozenset(question.options))
        if question.id in ids:
            drops.add(question.id, "its id is taken by another row")
        elif content in contents:
            drops.add(question.id, "it repeats another row about the same image")
        else:
            distinct.append(question)
        ids.add(question.id)
        contents.add(content)
    return distinct


def _image_groups(root: Path, questions: Iterable[Question]) -> dict[str, str]:
    """{image: group}: files of equal bytes are one image, and one image is one group."""
    base = Path(os.path.abspath(root), "Images")
    paths = {
        question.image: path_inside(base, question.image.removeprefix("Images/")) for question in questions
    }
    first = first_with_same_content(filter(None, paths.values()))
    return {image: str(first.get(path, image)).removeprefix(f"{base}/") for image, path in paths.items()}


def _in_split(
    questions: list[Question], groups: Mapping[str, str], split: str, shares: Mapping[str, float], seed: int
) -> GroupedQuestions:
    """Those of `split`, with their groups."""
    own_groups = _groups_of(questions, groups)
    datasets = [question.dataset for question in questions]
    split_of = split_by_group(zip(own_groups, datasets, strict=True), shares, seed)
    pairs = zip(questions, own_groups, strict=True)
    return [(question, group) for question, group in pairs if split_of[group] == split]


def _groups_of(questions: Iterable[Question], groups: Mapping[str, str]) -> list[str]:
    return [groups[question.image] for question in questions]
