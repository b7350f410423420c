"""Settings of a group whose choices are of several kinds (generators, retrievers, labellers): every name known, none missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medical_rl.errors import UserError, unknown


def settings_of_kind(
    given: Mapping[str, Any] | None, group: str, names: Mapping[str, Sequence[str]], choices: str
) -> dict[str, Any]:
    """`given` (conf.<group>) as a dict; UserError for none, an unknown kind, an unknown name or one that lacks.

    names    {kind: the settings it has}
    choices  what conf/<group> may be, for the message

    >>> settings_of_kind({"kind": "bm25", "k1": 1.5}, "retriever", {"bm25": ("kind", "k1")}, "bm25")["k1"]
    1.5
    """
    if not given:
        raise UserError(f"No {group} is chosen: conf/{group}={choices}.")
    settings, kind = dict(given), given.get("kind")
    if kind not in names:
        raise unknown(f"kind of {group}", kind, names)
    for name in settings:
        if name not in names[kind]:
            raise unknown(f"setting of a {group} of kind {kind} named", name, names[kind])
    if missing := [name for name in names[kind] if name not in settings]:
        raise UserError(f"conf.{group} lacks {', '.join(missing)}, which a {group} of kind {kind} needs.")
    return settings
