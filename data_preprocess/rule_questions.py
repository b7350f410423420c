"""RULE's question files (Xia et al., EMNLP 2024): yes/no questions about images, read row by row.

They hold one JSON object a line: `question` (ending in an "<image>" of its own),
`answer` (free text: 318 spellings in the one of IU-Xray), `image`, `question_id`, `report` and, but
for MIMIC-CXR, `text`. A language model wrote questions and answers from the reports, and left
fragments, refusals and whole numbered lists among them: what is no answer is never guessed.

RULE's other files: preference pairs for knowledge-balanced tuning, and the reports that are retrieved.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from medical_rl.data.sources import json_files
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
_SAID = re.compile(r"[\s\-*•]*(yes|no)\b(\s+\w)?", re.IGNORECASE)
_HOLDS_ANSWER = re.compile(r"\?[\s\-]*(yes|no)\W*$", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """One row of a question file; `problem` is why it cannot be used, "" where it can, and `doubtful` of which sort."""

    id: str
    text: str = ""
    answer: str = ""
    image: str = ""
    report: str = ""
    problem: str = ""
    doubtful: bool = False


def questions(path: Path) -> Iterator[Question]:
    """Every row of a question file, usable or not, in order; UserError where the file is none."""
    seen: set[str] = set()
    for number, record in json_files.lines(path):
        yield _question(path.stem, number, record, seen)


def question_files(folder: Path, named: str | list | None) -> list[Path]:
    """The question files that are named, else every .jsonl file in `folder`; each has the right keys."""
    names = [named] if isinstance(named, str) else list(named or ())
    paths = [folder / Path(name).expanduser() for name in names] or sorted(folder.glob("*.jsonl"))
    if not paths:
        raise UserError(
            f"There is no question file (*.jsonl) in {folder.absolute()}. RULE publishes them in the folder data/test of "
            "its repository (richard-peng-xia/RULE); put one there, or name it with questions (--questions)."
        )
    if len({path.stem for path in paths}) < len(paths):
        raise UserError(
            f"Two question files have one name: {', '.join(map(str, paths))}. Rename one: ids begin with it."
        )
    for path in paths:
        _check_keys(path)
    return paths


def yes_no(answer: str) -> str | None:
    """ "yes" or "no" where the answer begins with that word, else None.

    >>> yes_no("- No."), yes_no("YES (mild)"), yes_no("Normal"), yes_no("2. Is it large? - No")
    ('no', 'yes', None, None)
    """
    said = _SAID.match(answer)
    return said[1].lower() if said else None


def clean(question: str) -> str:
    """The question without its image placeholder, since the prompt's template places images.

    >>> clean("Is the heart enlarged? \\n<image>")
    'Is the heart enlarged?'
    """
    return " ".join(question.replace("<image>", " ").split())


def _question(stem: str, number: int, record: dict | None, seen: set[str]) -> Question:
    if record is None:
        return Question(f"{stem}/line {number}", problem=NOT_A_ROW)
    texts = {key: value if isinstance(value := record.get(key), str) else "" for key in (*KEYS, "report")}
    row_id = f"{stem}/{record.get('question_id', number)}"
    text = clean(texts["question"])
    problem, doubtful = _problem(text, texts["answer"], texts["image"])
    if row_id in seen:
        row_id, problem, doubtful = f"{row_id} again on line {number}", TWICE, False
    seen.add(row_id)
    return Question(
        row_id,
        text,
        yes_no(texts["answer"]) or "",
        texts["image"],
        texts["report"].strip(),
        problem,
        doubtful,
    )


def _problem(text: str, answer: str, image: str) -> tuple[str, bool]:
    """Why a row cannot be used, and whether only doubt speaks against it."""
    said = _SAID.match(answer)
    if not said:
        return NEITHER, False
    if not image:
        return NO_IMAGE, False
    if _HOLDS_ANSWER.search(text):
        return ANSWERED, False
    if said[2]:
        return NOT_AN_ANSWER, True
    # "0 cm?", ", diaphragms) abnormal?" and ")" are what is left of lists that were cut in the wrong place.
    return ("", False) if text[:1].isalpha() else (FRAGMENT, bool(text))


def _check_keys(path: Path) -> None:
    first = next((record for _, record in json_files.lines(path) if record), {})
    if missing := [key for key in KEYS if key not in first]:
        has = ", ".join(first) or "nothing"
        raise UserError(
            f"{path.absolute()} is no question file: its rows lack {', '.join(missing)}; they have {has}."
        )


def preferences(path: Path, group: Callable[[str], str]) -> Iterator[dict]:
    """The preference pairs of an alignment file: id, image, study, question, report, chosen, rejected, clean.

    group  the function from an image's name to its study or patient, as rows are grouped

    `clean` is True where one side says yes and the other no; the rest differ in words only or in nothing at all.
    """
    for number, pair in enumerate(
        json_files.listed(path, ("image", "conversations", "rejected_conversations"))
    ):
        prompt, chosen = _turns(pair["conversations"], path, number)
        _, rejected = _turns(pair["rejected_conversations"], path, number)
        head, _, question = prompt.rpartition("Question:")
        report = re.search(r"reference report\(s\):\s*(.*?)\s*\nPlease answer", head, re.DOTALL)
        yield {
            "id": f"{path.stem}/{number}",
            "image": pair["image"],
            "study": group(str(pair["image"])),
            "question": clean(question),
            "report": report[1] if report else "",
            "chosen": chosen,
            "rejected": rejected,
            "clean": {yes_no(chosen), yes_no(rejected)} == {"yes", "no"},
        }


def retriever_files(*folders: Path | None) -> list[Path]:
    """The retrieval files (*retriever*.json) of the first of the folders that has any."""
    return next(
        (found for folder in folders if folder and (found := sorted(folder.glob("*retriever*.json")))), []
    )


def corpus(
    path: Path, group: Callable[[str], str], patient: Callable[[dict], str] | None = None
) -> Iterator[dict]:
    """The reports of a retrieval file: id, text, study, split; and group where `patient` reads one off the entry."""
    for entry in json_files.listed(path, ("id", "report")):
        yield {
            "id": entry["id"],
            "text": entry["report"],
            "study": group(str(entry["id"])),
            "split": entry.get("split", ""),
            **({"group": found} if patient and (found := patient(entry)) else {}),
        }


def _turns(conversation: list, path: Path, number: int) -> tuple[str, str]:
    """The user's and the model's text of a conversation of two turns."""
    try:
        user, model = (turn["value"] for turn in conversation)
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(f"Entry {number} of {path} is not a conversation of two turns.") from error
    return user, model
