"""Settings of a composed configuration: flat, free of secrets, checked by kind, with this job's paths."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf

from medical_rl.errors import UserError, check_known

SECRET = re.compile(r"(api_?key|secret|password|(^|[_.])token)$", re.IGNORECASE)


def flatten(config: Mapping, prefix: str = "") -> dict[str, object]:
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


def plain(node):
    """A node of the configuration resolved to dicts and lists; any other value as it is."""
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def refuse_secrets(config: DictConfig) -> None:
    """Raise UserError for a secret: they belong in the environment, never in a config or manifest."""
    for name, value in flatten(OmegaConf.to_container(config, resolve=False)).items():
        if SECRET.search(name) and isinstance(value, str) and value:
            raise UserError(
                f"The setting {name} looks like a secret. A configuration is written to the run folder and "
                "to trackers, so secrets are read from environment variables only (OPENAI_API_KEY, "
                f"WANDB_API_KEY, HF_TOKEN), not through ${{oc.env:...}}; take it out."
            )


def settings_of_kind(
    given: Mapping[str, Any] | None, group: str, names: Mapping[str, Sequence[str]], choices: str
) -> dict[str, Any]:
    """conf.<group> as a dict, its choices being of several kinds: every name known and none missing.

    given    the settings as composed
    names    {kind: the settings it has}
    choices  what conf/<group> may be, for the message

    Raises UserError for none, an unknown kind, an unknown name or one that lacks.

    >>> settings_of_kind({"kind": "bm25", "k1": 1.5}, "retriever", {"bm25": ("kind", "k1")}, "bm25")["k1"]
    1.5
    """
    if not given:
        raise UserError(f"No {group} is chosen: conf/{group}={choices}.")
    settings, kind = dict(given), given.get("kind")
    check_known(f"kind of {group}", kind, names)
    for name in settings:
        check_known(f"setting of a {group} of kind {kind} named", name, names[kind])
    missing = [name for name in names[kind] if name not in settings]
    if missing:
        raise UserError(f"conf.{group} lacks {', '.join(missing)}, which a {group} of kind {kind} needs.")
    return settings


def with_absolute_reward_paths(config: DictConfig) -> DictConfig:
    """The configuration with reward files named by absolute paths: workers start in other folders."""
    for term in (config.conf.rewards.get("terms") or {}).values():
        path, colon, name = str((term or {}).get("fn") or "").rpartition(":")
        if colon and path.endswith(".py"):
            term.fn = f"{Path(path).expanduser().absolute()}:{name}"
    return config


def with_card_facts(config: DictConfig) -> DictConfig:
    """The configuration with the name and outcome on the card of conf/data=prepared, unless given."""
    data = config.conf.data
    if data.get("reader") != "prepared":
        return config
    try:
        card = json.loads((Path(str(data.source)).expanduser() / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, MissingMandatoryValue):
        card = {}  # the reader tells what is wrong with the folder
    if data.name == "prepared":
        data.name = str(card.get("name") or data.name)
    data.outcome = data.outcome or str(card.get("outcome") or "accuracy")
    return config


def with_job_run_dir(config: DictConfig) -> DictConfig:
    """The configuration with a folder of its own for each job of a sweep, named by the job's overrides."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return config
    job = HydraConfig.get().job
    name = re.sub(r"[^\w.=+,-]+", "_", job.override_dirname) or f"job{job.num}"
    config = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
    config.conf.run_dir = f"{config.conf.run_dir}/{name[:180]}"
    return config
