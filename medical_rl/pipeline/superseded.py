"""What an outdated run of a stage left, set aside in superseded/: nothing old is taken for progress, nothing is deleted."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from medical_rl.run.folder import RunFolder


def supersede(folder: RunFolder, stage: str) -> Path | None:
    """Folder that now holds what an outdated run of `stage` left; None if nothing was there.

    Checkpoints, rollouts, TensorBoard files and the stage's lines of metrics.jsonl are moved, so
    that nothing old is taken for progress of the new run, and nothing that cost time is deleted.
    """
    left = [f"checkpoints/{stage}", f"rollouts/{stage}", f"tensorboard/{stage}"]
    left += [str(Path("rollouts", stage).with_name("validation"))] if stage.endswith("rl") else []
    here = [relative for relative in left if (folder.path / relative).exists()]
    lines = _lines_of(folder, stage)
    if not here and not lines:
        return None
    moved = folder.path / "superseded" / f"{stage.replace('/', '.')}.{time.strftime('%Y%m%d-%H%M%S')}"
    for relative in here:
        (moved / relative).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / relative).rename(moved / relative)
    if lines:
        moved.mkdir(parents=True, exist_ok=True)
        (moved / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
        others = [line for line in _lines(folder) if line not in set(lines)]
        scratch = folder.metrics_file.with_suffix(".tmp")
        scratch.write_text("".join(others), encoding="utf-8")
        os.replace(scratch, folder.metrics_file)
    return moved


def _lines(folder: RunFolder) -> list[str]:
    return (
        folder.metrics_file.read_text(encoding="utf-8").splitlines(True)
        if folder.metrics_file.exists()
        else []
    )


def _lines_of(folder: RunFolder, stage: str) -> list[str]:
    mark = f'{{"stage": {json.dumps(stage)},'  # how engine/tracking.py begins a line
    return [line for line in _lines(folder) if line.startswith(mark)]
