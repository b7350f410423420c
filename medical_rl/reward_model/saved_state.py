"""Saved states of a training: each whole or not there, the newest one used, none of another training taken up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from medical_rl.errors import UserError


def newest(work: Path, identity: str) -> dict | None:
    """{"phase", "step", "folder"} of the newest saved state; None where there is none.

    UserError if it belongs to a training with other settings.
    """
    found = sorted(work.glob("step_*"))
    if not found:
        return None
    told = json.loads((found[-1] / "progress.json").read_text())
    if told["identity"] != identity:
        raise UserError(
            f"{work} holds a saved state of a reward model trained with other settings. Move the folder away to train anew, "
            "or give back the settings it was trained with."
        )
    return {**told, "folder": found[-1]}


def save(accelerator, work: Path, identity: str, phase: str, step: int, total: int) -> None:
    """None; saves weights, optimiser and random states as step `total` of the whole training, then removes older states."""
    goal = work / f"step_{total:08d}"
    scratch = work / f".{goal.name}.tmp"
    if accelerator.is_main_process:
        shutil.rmtree(scratch, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(scratch))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        told = {"identity": identity, "phase": phase, "step": step}
        (scratch / "progress.json").write_text(json.dumps(told))
        shutil.rmtree(goal, ignore_errors=True)
        scratch.rename(goal)
        for older in sorted(work.glob("step_*"))[:-1]:
            shutil.rmtree(older)
    accelerator.wait_for_everyone()


def remove(work: Path) -> None:
    """None; removes all states, a half-written one too: what was trained is exported by then."""
    for folder in [*work.glob("step_*"), *work.glob(".step_*")]:
        shutil.rmtree(folder, ignore_errors=True)
