"""Saved states of a preference tuning: only whole ones of this very training are taken up.

The Trainer writes a state in place, so that a kill may leave half of one; the mark is put into it when all else is written.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.run.files import write_json

MARK = "whole.json"


def newest(work: Path, identity: str) -> Path | None:
    """Folder of the newest whole state, None where there is none; half-written ones are removed.

    UserError if it belongs to a training with other settings or other pairs.
    """
    whole = []
    for folder in work.glob("checkpoint-*"):
        if (folder / MARK).is_file():
            whole.append((int(folder.name.rsplit("-", 1)[1]), folder))
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if not whole:
        return None
    folder = max(whole)[1]
    if json.loads((folder / MARK).read_text())["identity"] != identity:
        raise UserError(
            f"{work} holds a saved state of a preference tuning with other settings or other pairs. Move the folder away to "
            "train anew, or give back what it was trained with."
        )
    return folder


def mark(work: Path, step: int, identity: str) -> None:
    """None; says that the state of `step` is whole."""
    write_json(work / f"checkpoint-{step}" / MARK, {"identity": identity, "step": step})


def remove(work: Path) -> None:
    """None; removes all states: what was trained is exported by then."""
    for folder in work.glob("checkpoint-*"):
        shutil.rmtree(folder, ignore_errors=True)
