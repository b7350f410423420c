"""Hydra's and OmegaConf's errors as one paragraph that says what was asked and what is available."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable

from omegaconf import OmegaConf


def explain(error: Exception, arguments: list[str], compose: Callable | None = None) -> str | None:
    """One paragraph for an error of composing or overriding, None for any other error.

    `compose` composes choices of groups alone, to say what there is (default: a whole recipe).
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    text = str(error)
    key = re.search(r"Could not override '([^']+)'", text) or re.search(r"full_key: (\S+)", text)
    if key and "is not in struct" in (text + str(error.__cause__)):
        return explain_key(key[1], arguments, compose)
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def explain_key(key: str, arguments: list[str], compose: Callable | None = None) -> str:
    """What to do about a key that is not in the configuration: the nearest keys and how to add a new one."""
    if compose is None:
        from medical_rl.config.compose import compose
    from medical_rl.config.settings import flatten

    clean = [
        a
        for a in arguments
        if not a.startswith("-") and a.partition("=")[0].lstrip("+~") != key and "," not in a
    ]
    config = compose([a for a in clean if a.partition("=")[0] == "conf" or a.startswith("conf/")])
    parent, _, _ = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    while node is None and parent:
        parent = parent.rpartition(".")[0]
        node = OmegaConf.select(config, parent) if parent else config
    names = [f"{parent}.{name}".lstrip(".") for name in (node or {})]
    everything = list(flatten(OmegaConf.to_container(config, resolve=False)))
    near = difflib.get_close_matches(key, names + everything, n=3, cutoff=0.7)
    hint = f" Did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""
    return (
        f"There is no setting {key!r}.{hint} Available under {parent or 'the top level'}: "
        f"{', '.join(sorted(n.rsplit('.', 1)[-1] for n in names))}. To add a key that is not there, write +{key}=VALUE."
    )
