"""A `Judge` of a `conf/judge` file: every setting is checked by name here, so that a mistyped one is not ignored.

What the judges' client says of its settings, in the words of those who have a client of their own (generators, labellers).
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medical_rl.errors import UserError, unknown
from medical_rl.judges.desk.limits import Budget, Desk, Limits
from medical_rl.judges.desk.sqlite_desk import SqliteDesk
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.judge import MODES, Judge

SETTINGS = (
    "enabled", "endpoint", "limits", "budget", "on_met", "cache", "mode", "max_attempts", "backoff_s",
    "max_image_side",
)  # fmt: skip
ON_MET = ("pause", "continue")


def from_config(
    judge: Mapping[str, Any] | None, run_dir: Path | None = None, desk: Desk | None = None
) -> Judge | None:
    """The judge of `conf.judge`; None where it is not enabled. UserError for a setting that could not work.

    `desk` is one that exists already (the engine's, for several nodes); else a SqliteDesk below `run_dir`, or in a temporary
    folder where there is no run.
    """
    settings = checked(judge)
    if settings is None:
        return None
    endpoint = Endpoint.from_mapping(settings["endpoint"])
    if settings.get("mode", "live") == "live":
        endpoint.api_key()  # a missing key is said now, not after hours of training
    if desk is None:
        desk = sqlite_desk(settings, run_dir)
    chosen = ("mode", "max_attempts", "backoff_s", "max_image_side")
    return Judge(endpoint, desk, **{name: settings[name] for name in chosen if name in settings})


def checked(judge: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The settings of `conf.judge` after every check that needs no file and no network; None where it is not enabled."""
    if not judge or not judge.get("enabled", True):
        return None
    for name in judge:
        if name not in SETTINGS:
            raise unknown("setting of conf.judge named", name, SETTINGS)
    settings = dict(judge)
    if settings.get("mode", "live") not in MODES:
        raise unknown("conf.judge.mode", settings["mode"], MODES)
    if settings.get("on_met", "pause") not in ON_MET:
        raise unknown("conf.judge.on_met", settings["on_met"], ON_MET)
    if settings.get("max_attempts", 1) < 1:
        raise UserError(
            f"conf.judge.max_attempts={settings['max_attempts']}: at least one attempt is needed."
        )
    Endpoint.from_mapping(settings.get("endpoint") or {})
    limits_of(settings), budget_of(settings)
    return settings


def limits_of(settings: Mapping[str, Any]) -> Limits:
    """The `Limits` of conf.judge.limits."""
    return _built(Limits, "limits", settings)


def budget_of(settings: Mapping[str, Any]) -> Budget:
    """The `Budget` of conf.judge.budget."""
    return _built(Budget, "budget", settings)


def _built(kind: type, group: str, settings: Mapping[str, Any]):
    given = settings.get(group) or {}
    for name in given:
        if name not in kind.__dataclass_fields__:
            raise unknown(f"setting of conf.judge.{group} named", name, kind.__dataclass_fields__)
    return kind(**given)


def sqlite_desk(settings: Mapping[str, Any], run_dir: Path | None) -> SqliteDesk:
    """The desk in files: the ledger in the run's folder, the cache there too unless conf.judge.cache names a shared one."""
    folder = Path(run_dir) / "judge" if run_dir else Path(tempfile.mkdtemp(prefix="medical_rl-judge-"))
    cache = Path(settings.get("cache") or folder / "cache.sqlite").expanduser()
    if settings.get("mode") == "replay" and not cache.is_file():
        raise UserError(
            f"conf.judge.mode=replay answers from {cache}, and there is no such file. Name it: conf.judge.cache=FILE."
        )
    return SqliteDesk(folder / "ledger.sqlite", cache, limits_of(settings), budget_of(settings))


@contextlib.contextmanager
def named_as(group: str) -> Iterator[None]:
    """A UserError raised inside names `<group>.service` where it named conf.judge, and `<group>.max_failed`.

    >>> with named_as("conf.generator"):
    ...     raise UserError("conf.judge.limits is wrong.")
    Traceback (most recent call last):
    ...
    medical_rl.errors.UserError: conf.generator.service.limits is wrong.
    """
    try:
        yield
    except UserError as error:
        said = str(error).replace("; conf/judge=local does", "").replace("conf.judge", f"{group}.service")
        raise type(error)(said.replace("conf.rewards.max_failure_rate", f"{group}.max_failed")) from error
