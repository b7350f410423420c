"""Set aside in superseded/ what an outdated run of a stage left."""

import json
import time
from pathlib import Path

from medical_rl.run.files import write_text
from medical_rl.run.folder import RunFolder
from medical_rl.stages import declared


def supersede(folder: RunFolder, stage: str) -> Path | None:
    """Move what an outdated run of `stage` left to a folder and return it; None if nothing was there.

    Checkpoints, rollouts, TensorBoard files and the stage's lines of metrics.jsonl are moved, so that nothing
    old is taken for progress of the new run, and nothing that cost time is deleted.
    """
    places = [f"checkpoints/{stage}", f"rollouts/{stage}", f"tensorboard/{stage}"]
    if declared(stage).trains == "reinforced":
        places.append(str(Path("rollouts", stage).with_name("validation")))
    present = [place for place in places if (folder.path / place).exists()]
    own, others = _split_metrics(folder.metrics_file, stage)
    if not present and not own:
        return None
    goal = folder.path / "superseded" / f"{stage.replace('/', '.')}.{time.strftime('%Y%m%d-%H%M%S')}"
    for place in present:
        (goal / place).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / place).rename(goal / place)
    if own:
        goal.mkdir(parents=True, exist_ok=True)
        (goal / "metrics.jsonl").write_text("".join(own), encoding="utf-8")
        write_text(folder.metrics_file, "".join(others))
    return goal


def _split_metrics(file: Path, stage: str) -> tuple[list[str], list[str]]:
    """The lines of metrics.jsonl: (the stage's, the others)."""
    mark = f'{{"stage": {json.dumps(stage)},'  # how the engine's tracking begins a line
    own, others = [], []
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
    for line in lines:
        (own if line.startswith(mark) else others).append(line)
    return own, others
