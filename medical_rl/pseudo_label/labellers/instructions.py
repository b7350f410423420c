"""The prompts of models: the question, and the reports fenced as data; never the row's answer."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from medical_rl.data.reports import Report
from medical_rl.judges.messages import fence
from medical_rl.pseudo_label.label import LabelQuestion
from medical_rl.sample import Sample

FOLDER = Path(__file__).parent / "prompts"


def fenced_reports(reports: Sequence[Report]) -> str:
    """The reports' texts between marker lines, numbered from 1; "" where there are none.

    Neither ids nor studies are shown: they say nothing of the picture, and some are the names of files.
    """
    if not reports:
        return ""
    return fence({f"report {number}": report.text for number, report in enumerate(reports, 1)})


def prompt_sample(question: LabelQuestion) -> Sample:
    """The row as `medical_rl.data.prompts` takes it: its knowledge its fenced reports, its meta empty."""
    return dataclasses.replace(question.sample, knowledge=fenced_reports(question.reports), meta={})


def local_prompt() -> dict[str, Any]:
    """The prompt of a model of one's own, with and without reports (k = 0), for rows of `prompt_sample`."""
    return {
        "name": "labeller",
        "system": None,
        "template": _text("local"),
        "target": "<answer>{{ answer }}</answer>",
    }


def endpoint_messages(question: LabelQuestion, cite: bool) -> list[dict[str, str]]:
    """The chat messages for an endpoint; the images are the client's to add.

    cite  the rationale names reports by their numbers, else it must not speak of them
    """
    has_reports = bool(question.reports)
    names = ("rules", "reports", "reply") if has_reports else ("rules", "reply")
    # The templates are our own files, and no text of the data passes through them.
    options = {"undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = jinja2.Environment(**options)  # noqa: S701
    template = environment.from_string("\n\n".join(map(_text, names)))
    user = fence({"question": question.sample.question})
    if has_reports:
        user = f"{fenced_reports(question.reports)}\n\n{user}"
    return [
        {"role": "system", "content": template.render(cite=cite, reports=has_reports)},
        {"role": "user", "content": user},
    ]


def reply_schema(reports: int) -> dict[str, Any]:
    """The JSON schema of a reply about so many reports."""
    properties: dict[str, Any] = {"rationale": {"type": "string"}}
    if reports:
        properties["used"] = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": reports}}
    properties["answer"] = {"type": "string", "enum": ["yes", "no", "unsure"]}
    properties["confidence"] = {"type": "number", "minimum": 0, "maximum": 1}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _text(name: str) -> str:
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8").strip()
