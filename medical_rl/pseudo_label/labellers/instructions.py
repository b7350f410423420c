"""What a model is told: the question, and the retrieved reports fenced as data; never the row's answer or its own report."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from medical_rl.judges.consistency import fence
from medical_rl.pseudo_label.label import Asked
from medical_rl.pseudo_label.retrieval.reports import Report
from medical_rl.sample import Sample

FOLDER = Path(__file__).parent / "prompts"


def fenced(reports: Sequence[Report]) -> str:
    """The reports' texts between marker lines, numbered from 1; "" where there are none.

    Neither ids nor studies are told: they say nothing of the picture, and some are the names of files.
    """
    return (
        fence({f"report {number}": report.text for number, report in enumerate(reports, 1)})
        if reports
        else ""
    )


def told(asked: Asked) -> Sample:
    """The row as a prompt of `medical_rl.data.prompts` sees it: its knowledge is its fenced reports, its meta is empty.

    >>> row = Sample(id="1", source="demo", question="?", kind="yes_no", answer="no", meta={"report": "own"})
    >>> told(Asked(row)).meta, told(Asked(row)).knowledge
    ({}, '')
    """
    return dataclasses.replace(asked.sample, knowledge=fenced(asked.reports), meta={})


def local_prompt() -> dict[str, Any]:
    """The prompt configuration by which a model of one's own is asked, with and without reports (k = 0); for `told` rows."""
    return {
        "name": "labeller",
        "system": None,
        "template": _text("local"),
        "target": "<answer>{{ answer }}</answer>",
    }


def chat(asked: Asked, cite: bool) -> list[dict[str, str]]:
    """The chat messages for an endpoint; the images are the client's to add.

    cite  the rationale names reports by their numbers, else it must not speak of them
    """
    parts = [_text("rules"), *([_text("reports")] if asked.reports else []), _text("reply")]
    system = _environment().from_string("\n\n".join(parts)).render(cite=cite, reports=bool(asked.reports))
    question = fence({"question": asked.sample.question})
    user = "\n\n".join(part for part in (fenced(asked.reports), question) if part)
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def schema(reports: int) -> dict[str, Any]:
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


def _environment() -> jinja2.Environment:
    # The templates are our own files, and no text of the data passes through them.
    return jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701
