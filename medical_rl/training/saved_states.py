"""Saved states of a training: whole or not there, the newest used, none of another training."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from medical_rl.errors import StageFailed, UserError
from medical_rl.run.files import write_json


def require_all_steps(training: str, reached: int, planned: int) -> None:
    """Raise StageFailed unless a training reached the last step it planned: half a training is none."""
    if reached != planned:
        raise StageFailed(
            f"{training} ended at step {reached} of {planned}: it is not done, and nothing was exported. The "
            "same command goes on from its last saved state."
        )


@dataclasses.dataclass(frozen=True)
class SavedStates:
    """The folders <work>/<prefix><step> of one training.

    work      folder of its states
    prefix    how the name of a state begins; its step follows, with or without leading zeros
    mark      the file that is written into a state last, by which it is whole: {"identity", "step", ...}
    identity  the training's
    training  how a message calls a training that is not this one: "a reward model trained with other
              settings"
    """

    work: Path
    prefix: str
    mark: str
    identity: str
    training: str

    def newest(self) -> dict[str, Any] | None:
        """The content of the newest state's mark, and its "folder"; None where there is no state.

        Half-written states are removed. Raises UserError for a state of another training.
        """
        whole = {}
        for folder in self.work.glob(f"{self.prefix}*"):
            if (folder / self.mark).is_file():
                whole[int(folder.name.removeprefix(self.prefix))] = folder
            else:
                shutil.rmtree(folder, ignore_errors=True)
        if not whole:
            return None
        folder = whole[max(whole)]
        record = json.loads((folder / self.mark).read_text(encoding="utf-8"))
        if record["identity"] != self.identity:
            raise UserError(
                f"{self.work} holds a saved state of {self.training}. Move the folder away to train anew, or "
                "give back what it was trained with."
            )
        return {**record, "folder": folder}

    def mark_whole(self, folder: Path, **record: Any) -> None:
        """Write the mark of the state in `folder`: what a resumed training has to know, and the identity."""
        write_json(folder / self.mark, {"identity": self.identity, **record})

    def save(self, accelerator, total_steps: int, **record: Any) -> None:
        """Save accelerate's weights, optimiser and random states, then remove older states.

        total_steps  steps of the whole training so far: eight digits of the state's name
        record       what its mark holds beside the identity
        """
        goal = self.work / f"{self.prefix}{total_steps:08d}"
        scratch = self.work / f".{goal.name}.tmp"
        if accelerator.is_main_process:
            shutil.rmtree(scratch, ignore_errors=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(scratch))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            self.mark_whole(scratch, **record)
            shutil.rmtree(goal, ignore_errors=True)
            scratch.rename(goal)
            for older in sorted(self.work.glob(f"{self.prefix}*"))[:-1]:
                shutil.rmtree(older)
        accelerator.wait_for_everyone()

    def remove(self) -> None:
        """Remove all states, half-written ones too: what was trained is exported by then."""
        for pattern in (f"{self.prefix}*", f".{self.prefix}*"):
            for folder in self.work.glob(pattern):
                shutil.rmtree(folder, ignore_errors=True)
