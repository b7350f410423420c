"""Sets on the Hugging Face Hub, read through `datasets`: rows as dicts, images as their encoded bytes.

`datasets` is imported when a Hub id is read and not before. No code of a Hub repository is ever run.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from medical_rl.errors import UserError, unknown

PREFIX = "hf://"
UNREACHED = (
    "There is no path {path}, and {name!r} cannot be read from the Hugging Face Hub: {reason}. If the set "
    "is gated, accept its terms and log in (hf auth login)."
)
BROKE_OFF = (
    "Reading {name!r} from the Hugging Face Hub broke off: {reason}. Run it again; where it keeps breaking "
    "off, download the set and give its folder."
)
# `datasets` and `huggingface_hub` raise these families for a missing set, a gate, no network and a bad file.
_HUB_ERRORS = (OSError, ValueError, RuntimeError, EOFError)
# A name that ends so is a file that is not there, never a set: asking the Hub about it takes half a minute.
_FILE = re.compile(
    r"\.(csv|tsv|txt|jsonl?|ndjson|parquet|xlsx?|npz|npy|zip|gz|tar|tgz|png|jpe?g|dcm|ya?ml)$", re.I
)
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(source) -> bool:
    """Whether `source` is "owner/name" (or "hf://owner/name"), no path that exists here and no file's name.

    >>> is_hub_id("owner/set"), is_hub_id("hf://owner/set"), is_hub_id("scans/cases.csv")
    (True, True, False)
    """
    text = str(source or "")
    is_id = bool(_ID.fullmatch(text)) and not _FILE.search(text) and not Path(text).expanduser().exists()
    return text.startswith(PREFIX) or is_id


def configs(source, revision: str | None = None) -> list[str]:
    """The names of the set's configurations (subsets)."""
    return _from_hub(source, lambda hub, name: list(hub.get_dataset_config_names(name, revision=revision)))


def splits(source, revision: str | None = None) -> list[str]:
    """The names of the set's splits."""
    return _from_hub(source, lambda hub, name: list(hub.get_dataset_split_names(name, revision=revision)))


def rows(
    source, split: str, *, config: str | None = None, revision: str | None = None, streaming: bool = True
) -> Iterator[dict]:
    """The rows of one split; an image column gives `{"bytes", "path"}`, never decoded here.

    revision   a branch, tag or commit; give a commit where a run must be repeatable
    streaming  read while downloading, and keep nothing on disk
    """

    def load(datasets, name):
        available = datasets.get_dataset_split_names(name, config, revision=revision)
        if split not in available:
            raise unknown(f"split of {name}", split, available)
        table = datasets.load_dataset(name, config, split=split, revision=revision, streaming=streaming)
        encoded = datasets.Image(decode=False)
        for column, feature in (table.features or {}).items():
            if isinstance(feature, datasets.Image):
                table = table.cast_column(column, encoded)
            elif isinstance(getattr(feature, "feature", None), datasets.Image):
                table = table.cast_column(column, datasets.List(encoded))
        return table

    table = iter(_from_hub(source, load))
    while (row := _from_hub(source, lambda *_: next(table, None), BROKE_OFF)) is not None:
        yield row


def _from_hub(source, load, message: str = UNREACHED):
    """What `load(datasets, name)` gives; what the library raises about the Hub is told in a sentence."""
    name = str(source).removeprefix(PREFIX)
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f"Reading {name} from the Hugging Face Hub needs the package datasets: pip install datasets. "
            "Or download the set and give its folder."
        ) from error
    # What the clients below `datasets` raise for a broken connection; only of those that are loaded.
    errors = list(_HUB_ERRORS)
    for module, error in (("httpx", "HTTPError"), ("aiohttp", "ClientError")):
        if module in sys.modules:
            errors.append(getattr(sys.modules[module], error))
    try:
        return load(datasets, name)
    except tuple(errors) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(message.format(name=name, path=Path(name).absolute(), reason=reason)) from error
