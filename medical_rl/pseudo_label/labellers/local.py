"""The local labeller: a vision-language model of one's own under vLLM, aligned (RULE 3.3) or as it is.

It answers in a process of its own, reply by reply into a file, so that a killed stage goes on.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from medical_rl.data.parquet import write_split
from medical_rl.engine.vllm.requests import RoundContext, run_request
from medical_rl.errors import UserError
from medical_rl.parsing.response import parse, read
from medical_rl.pseudo_label.label import Label, LabelQuestion
from medical_rl.pseudo_label.labellers.instructions import local_prompt, prompt_sample


def check(settings: Mapping[str, Any]) -> None:
    """Raise UserError without a model or with sampling that could not work."""
    if not settings["model"]:
        raise UserError(
            "The local labeller has no model: give conf.labeller.model=FOLDER, or choose conf/labeller=rule."
        )
    if float(settings["temperature"]) < 0:
        raise UserError(f"conf.labeller.temperature={settings['temperature']}: 0 (greedy) or more is needed.")


def label(settings: Mapping[str, Any], questions: Sequence[LabelQuestion], work: RoundContext) -> list[Label]:
    """The label of each question, in order: the final answer as training reads it, or `unparsed`.

    The rationale is the model's thought. There is no confidence: a greedy reply has none of its own.
    Files in `work.folder`: labeller.parquet (what was asked), labeller.request.json, replies.jsonl.
    """
    check(settings)
    rows, prompt = work.folder / "labeller.parquet", local_prompt()
    # A question may be asked several times with other reports, and the replies' file knows rows by their ids.
    asked = list(map(prompt_sample, questions))
    numbered = [dataclasses.replace(row, id=str(number)) for number, row in enumerate(asked)]
    write_split(numbered, rows, prompt)
    request = work.request(settings, rows, prompt)
    output = run_request(request, work.folder / "labeller.request.json", work.folder / "replies.jsonl")
    replies = {}
    with output.open(encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            replies[record["id"]] = record["response"]
    return [_label(question, replies[row.id]) for question, row in zip(questions, numbered, strict=True)]


def _label(question: LabelQuestion, text: str) -> Label:
    response, ids = parse(text), question.report_ids
    answer = read(response, question.sample)
    if answer is None:
        return Label(question.sample.id, None, retrieved=ids, unparsed=True)
    return Label(question.sample.id, answer, response.thought or "", ids)
