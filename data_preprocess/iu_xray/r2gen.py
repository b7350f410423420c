"""R2Gen's annotation.json for IU-Xray: the split of 2,955 studies into train, val and test that papers share."""

from __future__ import annotations

from pathlib import Path

from medical_rl.data.sources import json_files
from medical_rl.errors import UserError

SPLITS = ("train", "val", "test")
_KEYS = ("id", "report", "image_path", "split")


def read(path: Path) -> tuple[list[dict], list[str]]:
    """(entries, repairs): every entry with its split, and a sentence for each key that had to be repaired.

    A copy goes round whose third key is four spaces. A key that is no split's name is read as the split that all
    of its entries state; UserError where they state several, none, or another than their key.
    """
    content = json_files.read(path)
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(part, list) for part in content.values())
    ):
        raise UserError(
            f"{path.absolute()} should hold an object with the lists train, val and test, and does not."
        )
    entries, repairs = [], []
    for key, part in content.items():
        for number, entry in enumerate(part):
            if not isinstance(entry, dict) or any(name not in entry for name in _KEYS):
                raise UserError(
                    f"Entry {number} under {key!r} of {path.absolute()} lacks one of {', '.join(_KEYS)}."
                )
        stated = {entry["split"] for entry in part}
        split = key if key in SPLITS else next(iter(stated), "")
        if stated - {split} or split not in SPLITS:
            raise UserError(
                f"The entries under {key!r} of {path.absolute()} state the splits {', '.join(sorted(map(str, stated))) or 'none'}; "
                f"each key should be one of {', '.join(SPLITS)} and hold its own."
            )
        if split != key:
            repairs.append(
                f"The key {key!r} of {path.name} is no split; it was read as {split!r}, which its {len(part):,} entries state"
            )
        entries += part
    return entries, repairs


def splits(path: Path) -> dict[str, str]:
    """{study id: split}; the ids look like CXR3030_IM-1405."""
    return {entry["id"]: entry["split"] for entry in read(path)[0]}


def find(folder: Path) -> Path | None:
    """The annotation in `folder`, by its name or as the only one of several names it goes by; None where there is none."""
    found = sorted(folder.glob("*annotation*.json"))
    if len(found) > 1:
        raise UserError(
            f"{folder.absolute()} has several annotations: {', '.join(path.name for path in found)}. Keep one."
        )
    return found[0] if found else None
