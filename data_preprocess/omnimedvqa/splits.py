"""Which question of OmniMedVQA is in which split: drawn by image, or as Med-R1's files say, with their overlap."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from medical_rl.data.drops import Drops
from medical_rl.data.options import BadOptions
from medical_rl.data.prepare.grouped import grouped, same_content
from medical_rl.data.sources.image_files import inside
from medical_rl.data_preprocess.omnimedvqa import files
from medical_rl.data_preprocess.omnimedvqa.files import Question
from medical_rl.errors import UserError, unknown

# Each question with the group that no split may divide.
Asked = list[tuple[Question, str]]


def drawn(
    root: Path, access: tuple[str, ...], keep: Mapping, split: str, shares, seed: int, drops: Drops
) -> Asked:
    """The QA_information questions that the seed puts into `split`; `keep` is {field of Question: wanted names or None}."""
    found = []
    for path in files.qa_files(root, access):
        for index, row in enumerate(files.records(path)):
            try:
                found.append(files.from_qa(row, path))
            except BadOptions as error:
                drops.add(str(row.get("question_id") or f"{path.stem}/{index}"), str(error))
    wanted = {name: _wanted(name, given, found) for name, given in keep.items() if given}
    asked = [q for q in found if all(getattr(q, name) in names for name, names in wanted.items())]
    if found and not asked:
        told = "; ".join(f"{name} {' or '.join(sorted(names))}" for name, names in wanted.items())
        raise UserError(f"No question has all that is asked for: {told}. Leave one of these filters out.")
    asked = _distinct(asked, drops)
    return _in_split(asked, _groups(root, asked), split, *shares, seed)


def _wanted(name: str, given, found: Iterable[Question]) -> set[str]:
    """The names to keep, spelt as ours; UserError for one that no question has."""
    names = {str(one) for one in ([given] if isinstance(given, str) else given)}
    names = {files.modality(one) for one in names} if name == "modality" else names
    there = {getattr(q, name) for q in found}
    for one in sorted(names - there):
        raise unknown(f"{name.replace('_', ' ')} of OmniMedVQA", one, there)
    return names


def of_med_r1(
    root: Path, folder: Path, split: str, tasks, overlap: str, val_share: float, seed: int, drops: Drops
) -> Asked:
    """The questions of Med-R1's files; val is drawn from their train, and `overlap` is "drop" or "keep" (see the reader)."""
    tested = _listed(folder, "test", tasks, drops if split == "test" else Drops())
    listed = _listed(folder, "train", tasks, Drops() if split == "test" else drops)
    group = _groups(root, [*listed, *tested])
    if split == "test":
        # Kept overlap is the user's wish: groups of their own keep `prepare` from refusing it as a leak.
        mark = "test:" if overlap == "keep" else ""
        return [(q, f"{mark}{group[q.image]}") for q in _distinct(tested, drops)]
    if overlap == "drop":
        shared = {group[q.image] for q in tested}
        for q in listed:
            if group[q.image] in shared:
                drops.add(q.id, "its image is also in the test file")
        listed = [q for q in listed if group[q.image] not in shared]
    return _in_split(_distinct(listed, drops), group, split, val_share, 0, seed)


def overlap_told(root: Path, folder: Path, tasks, overlap: str) -> str:
    """A sentence for the card: how many images Med-R1's train and test files share, and what became of them."""
    listed = [_listed(folder, split, tasks, Drops()) for split in ("train", "test")]
    group = _groups(root, [q for part in listed for q in part])
    train, test = ([group[q.image] for q in part] for part in listed)
    shared = set(train) & set(test)
    rows = sum(image in shared for image in train)
    what = "were left out of train" if overlap == "drop" else "were kept: test accuracy is too high"
    return (
        f"Med-R1's files: {len(shared):,} of {len(set(test)):,} test images are also in train; "
        f"the {rows:,} training rows about them {what}."
    )


def _listed(folder: Path, split: str, tasks, drops: Drops) -> list[Question]:
    found = []
    for path in files.med_r1_files(folder, split, tasks):
        for index, row in enumerate(files.records(path)):
            try:
                found.append(files.from_med_r1(row, path.stem, index))
            except BadOptions as error:
                drops.add(f"{path.stem}/{index}", str(error))
    return found


def _distinct(questions: Iterable[Question], drops: Drops) -> list[Question]:
    """The questions without those whose id, or whose image, words and answer, another has."""
    kept, ids, texts = [], set(), set()
    for q in questions:
        text = (q.image, q.question, q.answer, frozenset(q.options))
        if q.id in ids:
            drops.add(q.id, "its id is taken by another row")
        elif text in texts:
            drops.add(q.id, "it repeats another row about the same image")
        else:
            kept.append(q)
        ids.add(q.id)
        texts.add(text)
    return kept


def _groups(root: Path, questions: Iterable[Question]) -> dict[str, str]:
    """{image: group}: files of equal bytes are one image, and one image is one group."""
    base = Path(root, "Images")
    paths = {q.image: inside(base, q.image.removeprefix("Images/")) for q in questions}
    first = same_content(path for path in paths.values() if path)
    group = {image: str(first.get(path, image)) for image, path in paths.items()}
    return {image: name.removeprefix(f"{os.path.abspath(base)}/") for image, name in group.items()}


def _in_split(
    questions: list[Question],
    group: Mapping[str, str],
    split: str,
    val_share: float,
    test_share: float,
    seed: int,
) -> Asked:
    """Those of `split`, with their groups."""
    shares = {"test": test_share, "val": val_share}
    placed = grouped(((group[q.image], q.dataset) for q in questions), shares, seed)
    return [(q, group[q.image]) for q in questions if placed[group[q.image]] == split]
