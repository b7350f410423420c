"""The endpoint labeller: a vision model behind an OpenAI-compatible endpoint, shown the picture, the question and the reports.

It goes through the judges' client, so limits, budget, ledger, retries, the cache of answers and the rule about restricted data are the
same. What was answered is kept: the same command asks only what is missing, and one prompt about one picture is sent once.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from medical_rl.data.inspect import asking
from medical_rl.engine.vllm.requests import Work
from medical_rl.errors import JudgeFailed, UserError
from medical_rl.judges.build import checked, from_config, named_as
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.restricted import refuse_restricted
from medical_rl.pseudo_label.label import ANSWERS, Asked, Label
from medical_rl.pseudo_label.labellers.instructions import chat, schema

GROUP = "conf.labeller"


def check(settings: Mapping[str, Any]) -> None:
    """None; UserError for a setting of the service that could not work."""
    if not 0 <= float(settings["max_failed"]) <= 1:
        raise UserError(f"{GROUP}.max_failed={settings['max_failed']}: a share from 0 to 1 is needed.")
    with named_as(GROUP):
        checked({**settings["service"], "enabled": True})


def refuse(settings: Mapping[str, Any], asked: Sequence[Asked]) -> None:
    """None; UserError if a restricted row, or a row with a restricted report, would be sent where neither may go."""
    with named_as(GROUP):
        endpoint = Endpoint.from_mapping(settings["service"]["endpoint"])
        for one in asked:
            barred = next((report for report in one.reports if report.restricted), None)
            source = (
                one.sample.source if one.sample.restricted or barred is None else f"the reports ({barred.id})"
            )
            refuse_restricted(endpoint, one.restricted, source, f"{GROUP}.service.endpoint")


def label(settings: Mapping[str, Any], asked: Sequence[Asked], work: Work) -> list[Label]:
    """The label of each question, in order; "unsure" is an abstention, a question without a valid reply is failed.

    Raises UserError for a setting that could not work and for a restricted row or report that may not be sent (nothing is sent
    then), AskingStopped (exit 1) where a cap is met or a larger share than `max_failed` of the questions fail; what was
    answered is kept below `work.shared`.
    """
    check(settings)
    refuse(settings, asked)
    with named_as(GROUP):
        judge = from_config({**settings["service"], "enabled": True}, work.shared)
        ask = functools.partial(_ask, judge, bool(settings["cite"]))
        questions = {str(number): functools.partial(ask, one) for number, one in enumerate(asked)}
        replies, failures = asking.ask_all(questions, "labels", float(settings["max_failed"]))
    return [
        _label(one, replies[key]) if key in replies else _failed(one, failures[key])
        for key, one in zip(questions, asked, strict=True)
    ]


async def _ask(judge, cite: bool, one: Asked) -> dict[str, Any]:
    """The reply about one question, valid by the schema."""
    form, sample = schema(len(one.reports)), one.sample
    return await judge.ask(chat(one, cite), form, sample.images, one.restricted, sample.source)


def _label(one: Asked, reply: Mapping[str, Any]) -> Label:
    ids = tuple(report.id for report in one.reports)
    answer = reply["answer"] if reply["answer"] in ANSWERS else None
    return Label(
        one.sample.id,
        answer,
        reply["rationale"].strip() if answer else "",
        ids,
        float(reply["confidence"]) if answer else None,
        used=tuple(ids[number - 1] for number in dict.fromkeys(reply.get("used") or ())) if answer else (),
    )


def _failed(one: Asked, failure: Exception) -> Label:
    reason = failure.reason if isinstance(failure, JudgeFailed) else str(failure)
    return Label(one.sample.id, None, retrieved=tuple(report.id for report in one.reports), failed=reason)
