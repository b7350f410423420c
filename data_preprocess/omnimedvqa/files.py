"""The two forms of OmniMedVQA, read into one `Question`: QA_information and Med-R1's split files.

QA_information   one JSON list a dataset; the options are the keys option_A to option_D, and the answer is a
                 text
Med-R1           `{image, problem, solution}`; options and question are one text, and the answer is a letter
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medical_rl.data.options import BadOptions, clean_options, matching_option, option_at_letter
from medical_rl.data_preprocess import missing_names
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


def modality(name: str) -> str:
    """The modality as it should be spelt; the files misspell one."""
    return _MODALITIES.get(name, name)


def from_qa(row: Mapping, path: Path) -> Question:
    """The question of a QA_information row; BadOptions if unusable, UserError without its keys."""
    _require(row, ("question_id", "question", "gt_answer", "image_path"), path.name)
    options = clean_options(map(row.get, ("option_A", "option_B", "option_C", "option_D")))
    return Question(
        id=str(row["question_id"]),
        image=str(row["image_path"]),
        question=str(row["question"]).strip(),
        options=options,
        answer=matching_option(row["gt_answer"], options),
        dataset=str(row.get("dataset") or path.stem),
        # One row of `Chest CT Scan.json` says `modality`.
        modality=modality(str(row.get("modality_type") or row.get("modality") or "")),
        question_type=str(row.get("question_type") or ""),
        restricted=path.parent.name == FOLDERS["restricted"],
    )


def from_med_r1(row: Mapping, file: str, index: int) -> Question:
    """The question of a Med-R1 row; BadOptions if unusable, UserError without its keys."""
    _require(row, ("image", "problem", "solution"), file)
    question, listed = split_problem(str(row["problem"]))
    solution = _SOLUTION.fullmatch(str(row["solution"]).strip())
    if not solution:
        raise BadOptions("its answer is the letter of no option")
    options = clean_options(listed)
    image = str(row["image"])
    return Question(
        id=f"{file}/{index}",
        image=image,
        question=question,
        options=options,
        answer=matching_option(option_at_letter(solution[1], listed), options),
        dataset=image.split("/")[1] if image.count("/") > 1 else "",
    )


def split_problem(problem: str) -> tuple[str, list[str]]:
    """(question, options) of "... A)x, B)y"; options hold commas and brackets, so only the next letter in
    turn ends one.

    >>> split_problem("Which (IQA) grade? A)Age-related (AMD), wet, B)None")
    ('Which (IQA) grade?', ['Age-related (AMD), wet', 'None'])
    """
    start = re.search(r"(?:^|\s)A\)(?=.*, B\))", problem, re.DOTALL)
    if not start:
        raise BadOptions("its options cannot be told apart")
    rest, options = problem[start.end() :], []
    for letter in "BCDEFGHIJ":
        option, mark, after = rest.partition(f", {letter})")
        if not mark:
            break
        options.append(option.strip())
        rest = after
    options.append(rest.strip())
    return problem[: start.start()].strip(), options


def qa_files(root: Path, access: tuple[str, ...]) -> list[Path]:
    """The question files below QA_information, in order of name; UserError if there are none."""
    folders = [FOLDERS[name] for name in access]
    paths = []
    for folder in folders:
        paths += sorted((root / "QA_information" / folder).glob("*.json"))
    if not paths:
        raise UserError(
            f"There are no question files in {root.absolute()}/QA_information/{{{','.join(folders)}}}. The "
            "source is the folder OmniMedVQA that holds Images/ and QA_information/; for Med-R1's split "
            "files, give their folder as med_r1."
        )
    return paths


def med_r1_files(folder: Path, split: str, tasks) -> list[Path]:
    """Med-R1's `<task>_<split>.json` of the tasks (None: all), in order; UserError if one is missing."""
    ending = f"_{split}.json"
    paths = {path.name.removesuffix(ending): path for path in sorted(folder.rglob(f"*{ending}"))}
    for task in tasks or ():
        if task not in paths:
            raise UserError(
                f"{folder.absolute()} has no file {task}{ending}. Tasks with a {split} file: "
                f"{', '.join(paths) or 'none'}."
            )
    return [path for task, path in paths.items() if not tasks or task in tasks]


def _require(row: Mapping, keys: tuple[str, ...], file: str) -> None:
    missing = missing_names(keys, row)
    if missing:
        raise UserError(f"A row of {file} lacks {', '.join(missing)}; it has {', '.join(map(str, row))}.")
