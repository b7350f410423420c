"""The endpoint labeller: a vision model behind an OpenAI-compatible endpoint, shown all there is.

It goes through the judges' client, so limits, budget, ledger, retries, the cache of answers and the rule
about restricted data are the same. What was answered is kept: the same command asks only what is missing, and
one prompt about one picture is sent once.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.errors import JudgeFailed, UserError
from medical_rl.judges.endpoint import Endpoint, refuse_restricted
from medical_rl.judges.judge import ask_all, checked_settings, from_config, rename_errors
from medical_rl.pseudo_label.label import ANSWERS, Label, LabelQuestion
from medical_rl.pseudo_label.labellers.instructions import endpoint_messages, reply_schema

GROUP = "conf.labeller"


def check(settings: Mapping[str, Any]) -> None:
    """Raise UserError for a setting of the service that could not work."""
    if not 0 <= float(settings["max_failed"]) <= 1:
        raise UserError(f"{GROUP}.max_failed={settings['max_failed']}: a share from 0 to 1 is needed.")
    with rename_errors(GROUP):
        checked_settings({**settings["service"], "enabled": True})


def refuse_restricted_questions(settings: Mapping[str, Any], questions: Sequence[LabelQuestion]) -> None:
    """Raise UserError if a restricted row, or one with a restricted report, would go where it may not."""
    with rename_errors(GROUP):
        endpoint = Endpoint.from_mapping(settings["service"]["endpoint"])
        for question in questions:
            source = question.sample.source
            restricted = [report.id for report in question.reports if report.restricted]
            if restricted and not question.sample.restricted:
                source = f"the reports ({restricted[0]})"
            refuse_restricted(endpoint, question.restricted, source, f"{GROUP}.service.endpoint")


def label(settings: Mapping[str, Any], questions: Sequence[LabelQuestion], work: RoundContext) -> list[Label]:
    """The label of each question, in order; "unsure" abstains, a question without a valid reply failed.

    Raises UserError for a setting that could not work and for a restricted row or report that may not be sent
    (nothing is sent then), AskingStopped (exit 1) where a cap is met or a larger share than `max_failed` of
    the questions fail; what was answered is kept below `work.shared`.
    """
    check(settings)
    refuse_restricted_questions(settings, questions)
    with rename_errors(GROUP):
        judge = from_config({**settings["service"], "enabled": True}, work.shared)
        requests = {}
        for number, question in enumerate(questions):
            requests[str(number)] = functools.partial(_ask, judge, bool(settings["cite"]), question)
        replies, failures = ask_all(requests, "labels", float(settings["max_failed"]))
    labels = []
    for key, question in zip(requests, questions, strict=True):
        if key in replies:
            labels.append(_label(question, replies[key]))
            continue
        failure, ids = failures[key], question.report_ids
        reason = failure.reason if isinstance(failure, JudgeFailed) else str(failure)
        labels.append(Label(question.sample.id, None, retrieved=ids, failed=reason))
    return labels


async def _ask(judge, cite: bool, question: LabelQuestion) -> dict[str, Any]:
    """The reply about one question, valid by the schema."""
    schema, sample = reply_schema(len(question.reports)), question.sample
    messages = endpoint_messages(question, cite)
    return await judge.ask(messages, schema, sample.images, question.restricted, sample.source)


def _label(question: LabelQuestion, reply: Mapping[str, Any]) -> Label:
    ids, answer = question.report_ids, reply["answer"]
    if answer not in ANSWERS:
        return Label(question.sample.id, None, retrieved=ids)
    numbers = dict.fromkeys(reply.get("used") or ())  # each once, in the reply's order
    used = tuple(ids[number - 1] for number in numbers)
    rationale, confidence = reply["rationale"].strip(), float(reply["confidence"])
    return Label(question.sample.id, answer, rationale, ids, confidence, used=used)
