"""Hydra's and OmegaConf's errors as one paragraph: what was asked, what is available, what to do.

Several of them are two things: a missing configuration file is an OSError, a wrong value a ValueError, a key
that is not there a KeyError. Whoever catches those first asks `explain` before.
"""

import difflib
import re
import shlex
from collections.abc import Callable
from pathlib import PurePosixPath

from omegaconf import DictConfig, OmegaConf

RENAMED = {"on_met": "on_budget"}  # of conf.judge, and of the services of generators and labellers


def explain(error: BaseException, arguments: list[str], compose: Callable | None = None) -> str | None:
    """One paragraph for an error of the configuration (None for others); `compose` says what there is."""
    from hydra.errors import HydraException, MissingConfigException, OverrideParseException
    from omegaconf.errors import InterpolationKeyError, MissingMandatoryValue, OmegaConfBaseException

    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    text = str(error)
    first_line = text.strip().partition("\n")[0].strip().rstrip(".")
    if isinstance(error, MissingConfigException):
        return _explain_missing_file(error, arguments)
    if isinstance(error, OverrideParseException):
        return _explain_grammar(str(error.override), first_line)
    ambiguous = re.search(r"Ambiguous value for argument '(.*)'$", text.partition("\n")[0])
    if ambiguous:
        name, _, value = ambiguous[1].partition("=")
        return (
            f"The argument {ambiguous[1]!r} gives {name} several values. Add -m for a sweep, one run for each"
            f" of them; write '{name}=[{value}]' for one list, or '{name}=\"{value}\"' for one text."
        )
    key = re.search(r"Could not override '([^']+)'", text) or re.search(r"full_key: (\S+)", text)
    if key and "is not in struct" in f"{text}{error.__cause__}":
        inner = re.search(r"Key '([^']+)' is not in struct", f"{text}{error.__cause__}")
        below = inner and any(a.lstrip("+").startswith(f"{key[1]}={{") for a in arguments)  # KEY={inner: ...}
        return explain_key(f"{key[1]}.{inner[1]}" if below else key[1], arguments, compose)
    name = getattr(error, "full_key", None) or (key[1] if key else "")
    lacking = re.search(r"Missing mandatory value: (\S+)", text)
    if lacking or isinstance(error, MissingMandatoryValue):
        lacking = lacking[1] if lacking else name
        also = f", and {name} is taken from it" if name not in ("", lacking) else ""
        return f"The setting {lacking} has no value{also}. Write {lacking}=VALUE."
    source = re.search(r"'([^']+)'", text)
    if isinstance(error, InterpolationKeyError) and source:
        missing = f"The setting {name} is taken from {source[1]}, which is not in the configuration."
        return f"{missing} Write {name}=VALUE, or +{source[1]}=VALUE."
    if isinstance(error, OmegaConfBaseException) and name:
        return f"The setting {name} cannot be used: {first_line}. Write another {name}=VALUE."
    return " ".join(text.split())


def _explain_grammar(argument: str, reason: str) -> str:
    """The paragraph for an argument that Hydra's grammar cannot read: which one, and how to write it."""
    key, equals, value = argument.partition("=")
    if not equals:
        return f"The argument {argument!r} cannot be read as KEY=VALUE: it has no =. Write {argument}=VALUE."
    quoted = f"{key}='{value}'" if '"' in value else f'{key}="{value}"'
    how = "Close its brackets and quotes; or, where all of it is one text, quote it twice: "
    how += shlex.quote(quoted)
    return f"The argument {argument!r} cannot be read as KEY=VALUE: {reason}. {how}."


def explain_key(key: str, arguments: list[str], compose: Callable | None = None) -> str:
    """What to do about a key that is not in the configuration: the nearest keys and how to add a new one."""
    if compose is None:
        from medical_rl.config.compose import compose
    from medical_rl.config.settings import flatten

    group, _, name = key.rpartition(".")
    if name in RENAMED:
        new = f"{group}.{RENAMED[name]}"
        return f"The setting {key} is called {new} now: write {new}=VALUE."
    config = compose([argument for argument in arguments if re.match(r"conf(/[^=,]*)?=[^,]*$", argument)])
    parent, node = key, None
    while node is None:
        parent = parent.rpartition(".")[0]
        node = OmegaConf.select(config, parent) if parent else config
    names = list(node) if isinstance(node, DictConfig) else []
    siblings = [f"{parent}.{name}".lstrip(".") for name in names]
    everything = list(flatten(OmegaConf.to_container(config, resolve=False)))
    near = difflib.get_close_matches(key, siblings + everything, n=3, cutoff=0.7)
    hint = f" Did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""
    return (
        f"There is no setting {key!r}.{hint} Available under {parent or 'the top level'}: "
        f"{', '.join(sorted(map(str, names)))}. To add a key that is not there, write +{key}=VALUE."
    )


def _explain_missing_file(error, arguments: list[str]) -> str:
    """The paragraph for a file that a defaults list or an argument names and that is not below conf/."""
    from medical_rl.config.compose import root

    path = PurePosixPath(error.missing_cfg_file or "")
    group, parent = path.parent.as_posix(), re.search(r"In '(conf/[^']+)'", str(error))
    where = f", named in {parent[1]}.yaml," if parent and f"{group}={path.name}" not in arguments else ""
    available = [name for name in error.options or () if not name.startswith("_")]
    there_is = f" Available: {', '.join(sorted(available))}." if available else ""
    return (
        f"The configuration asks for {path}.yaml{where} and there is no such file below {root()}.{there_is} "
        f"Write it, or choose another: {group}=CHOICE."
    )
