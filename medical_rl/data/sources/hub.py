"""Sets on the Hugging Face Hub, read through `datasets`: rows as plain dicts, images as their encoded bytes.

`datasets` is imported when a Hub id is read and not before. No code of a Hub repository is ever run.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from medical_rl.errors import UserError, unknown

PREFIX = "hf://"
UNREACHED = (
    "There is no path {path}, and {name!r} cannot be read from the Hugging Face Hub: {reason}. If the set is gated, accept "
    "its terms and log in (hf auth login)."
)
BROKE_OFF = (
    "Reading {name!r} from the Hugging Face Hub broke off: {reason}. Run it again; where it keeps breaking off, download "
    "the set and give its folder."
)
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(source) -> bool:
    """Whether `source` is "owner/name" (or "hf://owner/name") and no path that exists here.

    >>> is_hub_id("MMMU/MMMU"), is_hub_id("hf://MMMU/MMMU"), is_hub_id("data/sets/mmmu"), is_hub_id("mmmu"), is_hub_id(None)
    (True, True, False, False, False)
    """
    text = str(source or "")
    if text.startswith(PREFIX):
        return True
    return bool(_ID.fullmatch(text)) and not Path(text).expanduser().exists()


def configs(source, revision: str | None = None) -> list[str]:
    """The names of the set's configurations (subsets)."""
    return list(
        _asked(source, lambda datasets, name: datasets.get_dataset_config_names(name, revision=revision))
    )


def splits(source, config: str | None = None, revision: str | None = None) -> list[str]:
    """The names of the set's splits."""
    return list(
        _asked(
            source, lambda datasets, name: datasets.get_dataset_split_names(name, config, revision=revision)
        )
    )


def rows(
    source, split: str, *, config: str | None = None, revision: str | None = None, streaming: bool = True
) -> Iterator[dict]:
    """The rows of one split; an image column gives `{"bytes", "path"}`, never decoded here.

    revision   a branch, tag or commit; give a commit where a run must be repeatable
    streaming  read while downloading, and keep nothing on disk
    """

    def load(datasets, name):
        if split not in (known := datasets.get_dataset_split_names(name, config, revision=revision)):
            raise unknown(f"split of {name}", split, known)
        found = datasets.load_dataset(name, config, split=split, revision=revision, streaming=streaming)
        for column, feature in (found.features or {}).items():
            if isinstance(feature, datasets.Image):
                found = found.cast_column(column, datasets.Image(decode=False))
            elif isinstance(getattr(feature, "feature", None), datasets.Image):
                found = found.cast_column(column, datasets.List(datasets.Image(decode=False)))
        return found

    found = iter(_asked(source, load))
    while (row := _asked(source, lambda datasets, name: next(found, None), BROKE_OFF)) is not None:
        yield row


def _asked(source, ask, told: str = UNREACHED):
    """What `ask(datasets, name)` gives, with whatever the library raises about the Hub told in one sentence."""
    name = str(source).removeprefix(PREFIX)
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f"Reading {name} from the Hugging Face Hub needs the package datasets: pip install datasets. "
            "Or download the set and give its folder."
        ) from error
    try:
        return ask(datasets, name)
    except (OSError, ValueError, RuntimeError, EOFError, *_of_clients()) as error:
        # `datasets` and `huggingface_hub` raise these families for a missing set, a gate, no network and a bad file.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(told.format(name=name, path=Path(name).absolute(), reason=reason)) from error


def _of_clients() -> tuple[type[Exception], ...]:
    """What the clients below `datasets` raise for a broken connection; only of those that are loaded."""
    known = (("httpx", "HTTPError"), ("aiohttp", "ClientError"))
    return tuple(getattr(sys.modules[module], name) for module, name in known if module in sys.modules)
