"""RULE's files (Xia et al., EMNLP 2024): yes/no questions about images, and the reports to retrieve.

A question file holds one JSON object a line: `question` (ending in an "<image>" of its own), `answer` (free
text: 318 spellings in the one of IU-Xray), `image`, `question_id`, `report` and, but for MIMIC-CXR, `text`. A
language model wrote questions and answers from the reports, and left fragments, refusals and whole numbered
lists among them: what is no answer is never guessed.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from medical_rl.data.sources import json_files
from medical_rl.data_preprocess import missing_names
from medical_rl.errors import UserError

KEYS = ("question", "answer", "image")

NEITHER = "the answer is neither yes nor no"
NOT_AN_ANSWER = 'its "No" or "Yes" begins a sentence, such as "No information is provided", and is no answer'
FRAGMENT = "the question is empty or a fragment"
ANSWERED = "the question holds its own answer"
NO_IMAGE = "the row names no image"
TWICE = "the question_id came before"
NOT_A_ROW = "the line is not a JSON object"

# The files write "Yes.", "- No", "No (as the lungs are clear)" and "No information on masses is provided".
_ANSWER = re.compile(r"[\s\-*•]*(yes|no)\b(\s+\w)?", re.IGNORECASE)
_HOLDS_ANSWER = re.compile(r"\?[\s\-]*(yes|no)\W*$", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """One row of a question file; `problem` is why it cannot be used, `doubtful` of which sort."""

    id: str
    text: str = ""
    answer: str = ""
    image: str = ""
    report: str = ""
    problem: str = ""
    doubtful: bool = False


def questions(path: Path) -> Iterator[Question]:
    """Every row of a question file, usable or not, in order; UserError where the file is none."""
    ids: set[str] = set()
    for number, record in json_files.read_lines(path):
        if record is None:
            yield Question(f"{path.stem}/line {number}", problem=NOT_A_ROW)
            continue
        row_id = f"{path.stem}/{record.get('question_id', number)}"
        texts = {}
        for key in (*KEYS, "report"):
            value = record.get(key)
            texts[key] = value if isinstance(value, str) else ""
        text = without_placeholder(texts["question"])
        problem, doubtful = _problem(text, texts["answer"], texts["image"])
        if row_id in ids:
            row_id, problem, doubtful = f"{row_id} again on line {number}", TWICE, False
        ids.add(row_id)
        answer, report = yes_no(texts["answer"]) or "", texts["report"].strip()
        yield Question(row_id, text, answer, texts["image"], report, problem, doubtful)


def question_files(folder: Path, named: str | list | None) -> list[Path]:
    """The question files that are named, else every .jsonl file in `folder`; each has the right keys."""
    names = [named] if isinstance(named, str) else list(named or ())
    paths = [folder / Path(name).expanduser() for name in names] or sorted(folder.glob("*.jsonl"))
    if not paths:
        raise UserError(
            f"There is no question file (*.jsonl) in {folder.absolute()}. RULE publishes them in the "
            "folder data/test of its repository (richard-peng-xia/RULE); put one there, or name it with "
            "questions (--questions)."
        )
    if len({path.stem for path in paths}) < len(paths):
        told = ", ".join(map(str, paths))
        raise UserError(f"Two question files have one name: {told}. Rename one: ids begin with it.")
    for path in paths:
        _check_keys(path)
    return paths


def yes_no(answer: str) -> str | None:
    """ "yes" or "no" where the answer begins with that word, else None.

    >>> yes_no("- No."), yes_no("YES (mild)"), yes_no("Normal"), yes_no("2. Is it large? - No")
    ('no', 'yes', None, None)
    """
    match = _ANSWER.match(answer)
    return match[1].lower() if match else None


def without_placeholder(question: str) -> str:
    """The question without its image placeholder, since the prompt's template places images.

    >>> without_placeholder("Is the heart enlarged? \\n<image>")
    'Is the heart enlarged?'
    """
    return " ".join(question.replace("<image>", " ").split())


def retriever_files(*folders: Path) -> list[Path]:
    """The retrieval files (*retriever*.json) of the first of the folders that has any."""
    for folder in folders:
        paths = sorted(folder.glob("*retriever*.json"))
        if paths:
            return paths
    return []


def corpus(
    path: Path, group: Callable[[str], str], patient: Callable[[dict], str] | None = None
) -> Iterator[dict]:
    """The reports of a retrieval file: id, text, study, split; and group where `patient` finds one."""
    for entry in json_files.read_objects(path, ("id", "report")):
        report = {
            "id": entry["id"],
            "text": entry["report"],
            "study": group(str(entry["id"])),
            "split": entry.get("split", ""),
        }
        if patient and patient(entry):
            report["group"] = patient(entry)
        yield report


def _problem(text: str, answer: str, image: str) -> tuple[str, bool]:
    """Why a row cannot be used, and whether only doubt speaks against it."""
    match = _ANSWER.match(answer)
    if not match:
        return NEITHER, False
    if not image:
        return NO_IMAGE, False
    if _HOLDS_ANSWER.search(text):
        return ANSWERED, False
    if match[2]:
        return NOT_AN_ANSWER, True
    # "0 cm?", ", diaphragms) abnormal?" and ")" are what is left of lists that were cut in the wrong place.
    return ("", False) if text[:1].isalpha() else (FRAGMENT, bool(text))


def _check_keys(path: Path) -> None:
    first = next((record for _, record in json_files.read_lines(path) if record), {})
    missing = missing_names(KEYS, first)
    if missing:
        told = f"its rows lack {', '.join(missing)}; they have {', '.join(first) or 'nothing'}"
        raise UserError(f"{path.absolute()} is no question file: {told}.")
