"""The two forms OmniMedVQA comes in, read into one `Question`: QA_information and Med-R1's split files.

QA_information   one JSON list a dataset; the options are the keys option_A to option_D, and the answer is a text
Med-R1           `{image, problem, solution}`; options and question are one text, and the answer is a letter
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from medical_rl.data.options import BadOptions, by_letter, clean, matching
from medical_rl.data.sources import json_files
from medical_rl.errors import UserError

FOLDERS = {"open": "Open-access", "restricted": "Restricted-access"}
_MODALITIES = {"MR (Mag-netic Resonance Imaging)": "MR (Magnetic Resonance Imaging)"}
_SOLUTION = re.compile(r"<answer>\s*([A-Z])\s*</answer>")


@dataclass(frozen=True)
class Question:
    """One question; `image` is relative to the folder that holds Images/."""

    id: str
    image: str
    question: str
    options: tuple[str, ...]
    answer: str
    dataset: str
    modality: str = ""
    question_type: str = ""
    restricted: bool = False


def records(path: Path) -> list[dict]:
    """The rows of one JSON file; UserError if it is not a list of objects."""
    return json_files.listed(path, ())


def modality(name: str) -> str:
    """The modality as it should be spelt; the files misspell one."""
    return _MODALITIES.get(name, name)


def from_qa(row: Mapping, path: Path) -> Question:
    """The question of a QA_information row; BadOptions with the reason if it cannot be asked, UserError without its keys."""
    _require(row, ("question_id", "question", "gt_answer", "image_path"), path.name)
    options = clean(row.get(f"option_{letter}") for letter in "ABCD")
    # One row of `Chest CT Scan.json` says `modality`.
    kind = str(row.get("modality_type") or row.get("modality") or "")
    return Question(
        id=str(row["question_id"]),
        image=str(row["image_path"]),
        question=str(row["question"]).strip(),
        options=options,
        answer=matching(row["gt_answer"], options),
        dataset=str(row.get("dataset") or path.stem),
        modality=modality(kind),
        question_type=str(row.get("question_type") or ""),
        restricted=path.parent.name == FOLDERS["restricted"],
    )


def from_med_r1(row: Mapping, file: str, index: int) -> Question:
    """The question of a row of a Med-R1 file; BadOptions with the reason if it cannot be asked, UserError without its keys."""
    _require(row, ("image", "problem", "solution"), file)
    question, listed = split_problem(str(row["problem"]))
    solution = _SOLUTION.fullmatch(str(row["solution"]).strip())
    if not solution:
        raise BadOptions("its answer is the letter of no option")
    options = clean(listed)
    image = str(row["image"])
    return Question(
        id=f"{file}/{index}",
        image=image,
        question=question,
        options=options,
        answer=matching(by_letter(solution[1], listed), options),
        dataset=image.split("/")[1] if image.count("/") > 1 else "",
    )


def split_problem(problem: str) -> tuple[str, list[str]]:
    """(question, options) of "... A)x, B)y"; options hold commas and brackets, so only the next letter in turn ends one.

    >>> split_problem("Which (IQA) grade? A)Age-related (AMD), wet, B)None")
    ('Which (IQA) grade?', ['Age-related (AMD), wet', 'None'])
    """
    start = re.search(r"(?:^|\s)A\)(?=.*, B\))", problem, re.DOTALL)
    if not start:
        raise BadOptions("its options cannot be told apart")
    question, rest, options = problem[: start.start()].strip(), problem[start.end() :], []
    for letter in "BCDEFGHIJ":
        option, mark, rest_after = rest.partition(f", {letter})")
        if not mark:
            break
        options.append(option.strip())
        rest = rest_after
    return question, [*options, rest.strip()]


def qa_files(root: Path, access: tuple[str, ...]) -> Iterator[Path]:
    """The question files below QA_information, in order of name; UserError if there are none."""
    folders = [FOLDERS[name] for name in access]
    found = [path for folder in folders for path in sorted((root / "QA_information" / folder).glob("*.json"))]
    if not found:
        raise UserError(
            f"There are no question files in {root.absolute()}/QA_information/{{{','.join(folders)}}}. "
            "The source is the folder OmniMedVQA that holds Images/ and QA_information/; for Med-R1's split files, "
            "give their folder as med_r1."
        )
    yield from found


def med_r1_files(folder: Path, split: str, tasks) -> list[Path]:
    """Med-R1's `<task>_<split>.json` files for the tasks (None: every one), in order of name; UserError if one is missing."""
    found = {
        path.name.removesuffix(f"_{split}.json"): path for path in sorted(folder.rglob(f"*_{split}.json"))
    }
    if missing := [task for task in tasks or () if task not in found]:
        raise UserError(
            f"{folder.absolute()} has no file {missing[0]}_{split}.json. Tasks with a {split} file: "
            f"{', '.join(found) or 'none'}."
        )
    return [path for task, path in found.items() if not tasks or task in tasks]


def _require(row: Mapping, keys: tuple[str, ...], file: str) -> None:
    if missing := [key for key in keys if key not in row]:
        raise UserError(f"A row of {file} lacks {', '.join(missing)}; it has {', '.join(map(str, row))}.")
