"""LABELLERS: every kind of labeller by its name, and the check of a conf/labeller file.

A new kind is a module with `check(settings)` and `label(settings, asked, work) -> list[Label]`, a line here and a YAML file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from medical_rl.config.kinds import settings_of_kind
from medical_rl.engine.vllm.requests import Work
from medical_rl.errors import UserError, unknown
from medical_rl.pseudo_label.label import Asked, Label
from medical_rl.pseudo_label.labellers import endpoint, local, rule

LABELLERS: dict[str, ModuleType] = {
    "rule": rule,
    "endpoint": endpoint,
    "local": local,
}
_ALL = ("name", "kind", "min_confidence", "thought")
SETTINGS = {
    "rule": (*_ALL, "rank_weights", "on_silence"),
    "endpoint": (*_ALL, "temperature", "max_new_tokens", "cite", "max_failed", "service"),
    "local": (*_ALL, "model", "temperature", "top_p", "max_new_tokens", "batch", "gpus"),
}
# What becomes of a rationale in training rows; see `rows`.
THOUGHTS = ("rationale", "without_reports", "none")


def label(settings: Mapping[str, Any], asked: Sequence[Asked], work: Work) -> list[Label]:
    """The label of each question, in order, by the labeller of conf.labeller.

    UserError for settings that could not work, and for a question that is not a yes/no one. See each kind for more.
    """
    settings = checked(settings)
    for one in asked:
        if one.sample.kind != "yes_no":
            raise UserError(
                f"A labeller answers yes/no questions, and the row {one.sample.id!r} of {one.sample.source} is a {one.sample.kind}."
            )
    return LABELLERS[settings["kind"]].label(settings, asked, work) if asked else []


def refuse(settings: Mapping[str, Any], asked: Sequence[Asked]) -> None:
    """None; UserError if a restricted row or report among these would be sent to an endpoint that is not declared fit for it."""
    if settings["kind"] == "endpoint":
        endpoint.refuse(settings, asked)


def checked(labeller: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings of conf.labeller, every name known and none missing; UserError for one that could not work."""
    settings = settings_of_kind(labeller, "labeller", SETTINGS, "rule, openai, gemini or local")
    kind = settings["kind"]
    if not 0 <= float(settings["min_confidence"]) <= 1:
        raise UserError(
            f"conf.labeller.min_confidence={settings['min_confidence']}: a number from 0 to 1 is needed."
        )
    if settings["thought"] not in THOUGHTS:
        raise unknown("conf.labeller.thought", settings["thought"], THOUGHTS)
    LABELLERS[kind].check(settings)
    return settings
