"""RETRIEVERS: every kind of retriever by its name, and the check of a conf/retriever file.

A new kind is a class with `rank` (`corpus.Retriever`) in a file of its own, a function that makes one from
`(settings, reports, folder)` and a line here, and a YAML file.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medical_rl.config.settings import settings_of_kind
from medical_rl.data.reports import Report
from medical_rl.errors import UserError
from medical_rl.pseudo_label.retrieval.corpus import Retriever


def _bm25(settings: Mapping[str, Any], reports: Sequence[Report], folder: Path) -> Retriever:
    from medical_rl.pseudo_label.retrieval.bm25 import Bm25

    return Bm25(settings, reports)


def _clip(settings: Mapping[str, Any], reports: Sequence[Report], folder: Path) -> Retriever:
    from medical_rl.pseudo_label.retrieval.clip import ClipIndex

    return ClipIndex(settings, reports, folder)


RETRIEVERS: dict[str, Callable[[Mapping[str, Any], Sequence[Report], Path], Retriever]] = {
    "bm25": _bm25,
    "clip": _clip,
}
# Those that look at the rows' images.
USE_IMAGES = ("clip",)
_ALL = ("name", "kind", "splits", "near_duplicate")
SETTINGS = {
    "bm25": _ALL + ("k1", "b", "ignore", "stem", "choices"),
    "clip": _ALL + ("model", "revision", "batch_size", "device"),
}


def retriever_settings(retriever: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings of conf.retriever, complete and known. Raises UserError for one that cannot work."""
    settings = settings_of_kind(retriever, "retriever", SETTINGS, "bm25 or clip")
    if not 0 < settings["near_duplicate"] <= 1:
        raise UserError(
            f"conf.retriever.near_duplicate={settings['near_duplicate']} is no share of words above 0 and up "
            "to 1 (1: only an equal text is a row's own report)."
        )
    return settings
