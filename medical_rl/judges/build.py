"""A `Judge` of a `conf/judge` file; every setting is checked by name."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medical_rl.errors import UserError, unknown
from medical_rl.judges.desk.budget import Budget
from medical_rl.judges.desk.limits import Limits
from medical_rl.judges.desk.protocol import Desk
from medical_rl.judges.desk.sqlite_desk import SqliteDesk
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.judge import MODES, Judge

OF_JUDGE = ("mode", "max_attempts", "backoff_s", "max_image_side")  # settings that the Judge itself takes
SETTINGS = (*OF_JUDGE, "enabled", "endpoint", "limits", "budget", "on_budget", "cache")
CHOICES = {"mode": MODES, "on_budget": ("pause", "continue")}


def from_config(
    judge: Mapping[str, Any] | None, run_dir: Path | None = None, desk: Desk | None = None
) -> Judge | None:
    """The judge of `conf.judge`; None where it is not enabled.

    `desk` is one that exists already (the engine's, for several nodes); else a SqliteDesk below `run_dir`, or
    in a temporary folder where there is no run. Raises UserError for a setting that could not work.
    """
    settings = checked_settings(judge)
    if settings is None:
        return None
    endpoint = Endpoint.from_mapping(settings["endpoint"])
    if settings.get("mode", "live") == "live":
        endpoint.api_key()  # a missing key is said now, not after hours of training
    if desk is None:
        desk = sqlite_desk(settings, run_dir)
    options = {name: settings[name] for name in OF_JUDGE if name in settings}
    return Judge(endpoint, desk, **options)


def checked_settings(judge: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The settings of `conf.judge`, checked without file and network; None where it is not enabled."""
    if not judge or not judge.get("enabled", True):
        return None
    settings = dict(judge)
    if "on_met" in settings:
        raise UserError("conf.judge.on_met is called conf.judge.on_budget now: pause or continue, as before.")
    for name in settings:
        if name not in SETTINGS:
            raise unknown("setting of conf.judge named", name, SETTINGS)
    for name, choices in CHOICES.items():
        if settings.get(name, choices[0]) not in choices:
            raise unknown(f"conf.judge.{name}", settings[name], choices)
    if settings.get("max_attempts", 1) < 1:
        raise UserError(
            f"conf.judge.max_attempts={settings['max_attempts']}: at least one attempt is needed."
        )
    Endpoint.from_mapping(settings.get("endpoint") or {})
    _group_of(Limits, "limits", settings)
    _group_of(Budget, "budget", settings)
    return settings


def _group_of(kind: type, group: str, settings: Mapping[str, Any]):
    """The `Limits` or `Budget` of conf.judge.<group>."""
    values = settings.get(group) or {}
    for name in values:
        if name not in kind.__dataclass_fields__:
            raise unknown(f"setting of conf.judge.{group} named", name, kind.__dataclass_fields__)
    return kind(**values)


def sqlite_desk(settings: Mapping[str, Any], run_dir: Path | None) -> SqliteDesk:
    """The desk in files: ledger and cache in the run's folder, unless conf.judge.cache names a shared one."""
    folder = Path(run_dir) / "judge" if run_dir else Path(tempfile.mkdtemp(prefix="medical_rl-judge-"))
    cache = Path(settings.get("cache") or folder / "cache.sqlite").expanduser()
    if settings.get("mode") == "replay" and not cache.is_file():
        raise UserError(
            f"conf.judge.mode=replay answers from {cache}, and there is no such file. "
            "Name it: conf.judge.cache=FILE."
        )
    limits, budget = _group_of(Limits, "limits", settings), _group_of(Budget, "budget", settings)
    return SqliteDesk(folder / "ledger.sqlite", cache, limits, budget)


@contextlib.contextmanager
def rename_errors(group: str) -> Iterator[None]:
    """Reword a UserError raised inside for a `group` with a judge of its own (generator, labeller).

    It names `<group>.service` where it named conf.judge, and `<group>.max_failed`.

    >>> with rename_errors("conf.generator"):
    ...     raise UserError("conf.judge.limits is wrong.")
    Traceback (most recent call last):
    ...
    medical_rl.errors.UserError: conf.generator.service.limits is wrong.
    """
    try:
        yield
    except UserError as error:
        text = str(error).replace("; conf/judge=local does", "").replace("conf.judge", f"{group}.service")
        raise type(error)(text.replace("conf.rewards.max_failure_rate", f"{group}.max_failed")) from error
