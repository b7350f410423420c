"""GENERATORS: every kind of generator by its name, and the check of a conf/generator file.

A new kind is a function `(settings, rows, context) -> Proposals` in a file of its own, a line here and a YAML
file.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medical_rl.config.settings import settings_of_kind
from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.errors import UserError, unknown
from medical_rl.loop.generators import models, template
from medical_rl.loop.generators.prompts_and_replies import FORMATS, STRATEGIES
from medical_rl.loop.generators.triplets import Proposals
from medical_rl.sample import Sample

GENERATORS: dict[str, Callable[[Mapping[str, Any], Sequence[Sample], RoundContext], Proposals]] = {
    "endpoint": models.propose_by_endpoint,
    "local": models.propose_by_local,
    "template": template.propose,
}
_ALL = ("name", "kind", "images", "per_image")
_MODELS = ("strategy", "format", "per_reply", "tell_facts", "temperature", "max_new_tokens")
SETTINGS = {
    "endpoint": _ALL + _MODELS + ("max_failed", "service"),
    "local": _ALL + _MODELS + ("top_p", "model", "batch", "gpus"),
    "template": _ALL + ("error_rate", "errors", "wordings", "question_types"),
}


def generator_settings(generator: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings of conf.generator, every name known and none missing.

    Raises UserError for a setting that could not work.
    """
    settings = settings_of_kind(generator, "generator", SETTINGS, "template, gemini, openai or local")
    kind = settings["kind"]
    for name in ("images", "per_image", "per_reply", "max_new_tokens"):
        if name in settings and settings[name] < 1:
            raise UserError(f"conf.generator.{name}={settings[name]}: at least 1 is needed.")
    for name, known in (("strategy", STRATEGIES), ("format", FORMATS)):
        if name in settings and settings[name] not in known:
            raise unknown(f"conf.generator.{name}", settings[name], known)
    if kind == "endpoint" and settings["format"] != "json":
        raise UserError(f"conf.generator.format={settings['format']}: an endpoint's model replies in json.")
    if kind == "template":
        template.check(settings)
    return settings
