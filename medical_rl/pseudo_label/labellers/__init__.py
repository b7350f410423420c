"""LABELLERS: every kind of labeller by its name, and the check of a conf/labeller file.

A new kind is a module with `check(settings)` and `label(settings, questions, work) -> list[Label]`, a line
here and a YAML file.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from medical_rl.config.settings import settings_of_kind
from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.errors import UserError, unknown
from medical_rl.pseudo_label.label import Label, LabelQuestion
from medical_rl.pseudo_label.labellers import endpoint, local, rule

LABELLERS: dict[str, ModuleType] = {"rule": rule, "endpoint": endpoint, "local": local}
_ALL = ("name", "kind", "min_confidence", "thought")
SETTINGS = {
    "rule": _ALL + ("rank_weights", "on_silence"),
    "endpoint": _ALL + ("temperature", "max_new_tokens", "cite", "max_failed", "service"),
    "local": _ALL + ("model", "temperature", "top_p", "max_new_tokens", "batch", "gpus"),
}
# What becomes of a rationale in training rows; see `rows`.
THOUGHTS = ("rationale", "without_reports", "none")


def label(settings: Mapping[str, Any], questions: Sequence[LabelQuestion], work: RoundContext) -> list[Label]:
    """The label of each question, in order, by the labeller of conf.labeller.

    Raises UserError for settings that could not work, and for a question that is not a yes/no one. See each
    kind for more.
    """
    settings = labeller_settings(settings)
    for question in questions:
        sample = question.sample
        if sample.kind != "yes_no":
            raise UserError(
                f"A labeller answers yes/no questions, and the row {sample.id!r} of {sample.source} is a "
                f"{sample.kind}."
            )
    if not questions:
        return []
    return LABELLERS[settings["kind"]].label(settings, questions, work)


def refuse_restricted_questions(settings: Mapping[str, Any], questions: Sequence[LabelQuestion]) -> None:
    """Raise UserError if a restricted row or report would be sent to an endpoint not fit for it."""
    if settings["kind"] == "endpoint":
        endpoint.refuse_restricted_questions(settings, questions)


def labeller_settings(labeller: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings of conf.labeller, complete and known. Raises UserError for one that cannot work."""
    settings = settings_of_kind(labeller, "labeller", SETTINGS, "rule, openai, gemini or local")
    if not 0 <= float(settings["min_confidence"]) <= 1:
        raise UserError(
            f"conf.labeller.min_confidence={settings['min_confidence']}: a number from 0 to 1 is needed."
        )
    if settings["thought"] not in THOUGHTS:
        raise unknown("conf.labeller.thought", settings["thought"], THOUGHTS)
    LABELLERS[settings["kind"]].check(settings)
    return settings
