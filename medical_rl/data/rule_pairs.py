"""RULE's other files: preference pairs for knowledge-balanced tuning, and the reports that are retrieved."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from medical_rl.data import json_files
from medical_rl.data.rule import clean, yes_no
from medical_rl.errors import UserError


def preferences(path: Path, group: Callable[[str], str]) -> Iterator[dict]:
    """The preference pairs of an alignment file: id, image, study, question, report, chosen, rejected, clean.

    group  the function from an image's name to its study or patient, as rows are grouped

    `clean` is True where one side says yes and the other no; the rest differ in words only or in nothing at all.
    """
    for number, pair in enumerate(json_files.listed(path, ("image", "conversations", "rejected_conversations"))):
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
    return next((found for folder in folders if folder and (found := sorted(folder.glob("*retriever*.json")))), [])


def corpus(path: Path, group: Callable[[str], str], patient: Callable[[dict], str] | None = None) -> Iterator[dict]:
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
