"""."""

from __future__ import annotations

import re
from collections.abc import Mapping

from omegaconf import DictConfig, OmegaConf

from medical_rl.errors import UserError

SECRET = re.compile(r"(api_?key|secret|password|(^|[_.])token)$", re.IGNORECASE)


def flatten(config, prefix: str = "") -> dict[str, object]:
    """{"a.b.c": value} of a nested mapping; lists are values.

    >>> flatten({"a": {"b": 1}, "c": [2]})
    {'a.b': 1, 'c': [2]}
    """
    flat = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def refuse_secrets(config: DictConfig) -> None:
    """None; UserError if a setting looks like a secret: they belong in the environment, never in a config or manifest."""
    for name, value in flatten(OmegaConf.to_container(config, resolve=False)).items():
        if SECRET.search(name) and isinstance(value, str) and value:
            raise UserError(
                f"The setting {name} looks like a secret. A configuration is written to the run folder and to trackers, so secrets are "
                "read from environment variables only (OPENAI_API_KEY, WANDB_API_KEY, HF_TOKEN), not through ${oc.env:...}; take it out."
            )
