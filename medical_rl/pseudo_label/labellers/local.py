"""The local labeller: a vision-language model of one's own under vLLM, as it is or after preference alignment (RULE section 3.3).

It answers in a process of its own (`medical_rl.engine.vllm.generate`), reply by reply into a file, so that a killed stage goes on.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medical_rl.data.parquet import write_split
from medical_rl.engine.vllm.requests import Work, respond
from medical_rl.errors import UserError
from medical_rl.parsing.response import parse, read
from medical_rl.pseudo_label.label import Asked, Label
from medical_rl.pseudo_label.labellers.instructions import local_prompt, told


def check(settings: Mapping[str, Any]) -> None:
    """None; UserError without a model or with sampling that could not work."""
    if not settings["model"]:
        raise UserError(
            "The local labeller has no model: give conf.labeller.model=FOLDER, or choose conf/labeller=rule."
        )
    if float(settings["temperature"]) < 0:
        raise UserError(f"conf.labeller.temperature={settings['temperature']}: 0 (greedy) or more is needed.")


def label(settings: Mapping[str, Any], asked: Sequence[Asked], work: Work) -> list[Label]:
    """The label of each question, in order: the final answer as training reads it; one that cannot be read is `unparsed`.

    The rationale is the model's thought. There is no confidence: a greedy reply has none of its own.
    Files in `work.folder`: labeller.parquet (what was asked), labeller.request.json, replies.jsonl.
    """
    check(settings)
    rows, prompt = work.folder / "labeller.parquet", local_prompt()
    # A question may be asked several times with other reports, and the replies' file knows rows by their ids.
    numbered = [dataclasses.replace(told(one), id=str(number)) for number, one in enumerate(asked)]
    write_split(numbered, rows, prompt)
    request = work.request(settings, rows, prompt)
    replies = _replies(respond(request, work.folder / "labeller.request.json", work.folder / "replies.jsonl"))
    return [_label(one, replies[row.id]) for one, row in zip(asked, numbered, strict=True)]


def _label(one: Asked, text: str) -> Label:
    response, ids = parse(text), tuple(report.id for report in one.reports)
    answer = read(response, one.sample)
    if answer is None:
        return Label(one.sample.id, None, retrieved=ids, unparsed=True)
    return Label(one.sample.id, answer, response.thought or "", ids)


def _replies(path: Path) -> dict[str, str]:
    """{row id: reply} of a file that `engine.generate` wrote."""
    with path.open(encoding="utf-8") as lines:
        return {record["id"]: record["response"] for record in map(json.loads, lines)}
