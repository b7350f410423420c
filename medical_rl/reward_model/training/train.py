"""Trains R_phi: `python -m medical_rl.reward_model.training.train REQUEST.json` (request.py).

Several GPUs: `accelerate launch -m medical_rl.reward_model.training.train REQUEST.json`, or torchrun. An
interrupted training goes on from its last saved state; one that is done is left as it is. Exit code 2 and one
paragraph on a user's error.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import set_seed

from medical_rl.errors import UserError, exit_code
from medical_rl.reward_model.model import FACTS, export, load_base, load_exported, read_facts, with_head
from medical_rl.reward_model.training.dataset import GradedTable, Units, lay_out, screen
from medical_rl.reward_model.training.optimise import optimise
from medical_rl.reward_model.training.plan import preference_pairs
from medical_rl.reward_model.training.request import Request
from medical_rl.reward_model.training.tasks import grading_task, language_task
from medical_rl.run.files import write_json
from medical_rl.training.encode import Encoder, image_limits_of, load_processor
from medical_rl.training.saved_states import SavedStates

# Settings that the exported model's facts tell, beside those of its phases.
REPORTED = (
    "loss", "seed", "phantom", "criteria", "min_pixels", "max_pixels", "max_length", "precision",
)  # fmt: skip


def train(request: Request) -> dict:
    """The facts of the exported model (reward_model.json); a folder that holds it already is left."""
    exported, work, identity = Path(request.out) / FACTS, Path(request.work), request.identity()
    if exported.is_file():
        facts = json.loads(exported.read_text(encoding="utf-8"))
        if facts["identity"] == identity:
            return facts
    started = time.monotonic()
    accelerator = Accelerator(
        cpu=request.device == "cpu", mixed_precision="no" if request.precision == "fp32" else "bf16"
    )
    set_seed(request.seed)
    encoder = Encoder(load_processor(request.model, image_limits_of(vars(request))))
    table, indices, row_facts = _screened_rows(request, accelerator, encoder, work)
    states = SavedStates(
        work, "step_", "progress.json", identity, "a reward model trained with other settings"
    )
    state = states.newest()
    base = _load_start(request)
    if request.gradient_checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
    steps, before = {}, 0
    if request.sft is not None:
        made_by = table.column("made_by")
        best = [(index,) for index in indices if made_by[index] == "original"]
        task = language_task(request, Units(table, encoder, best), base)
        before = steps["sft"] = task.steps
        if state is None or state["phase"] == "sft":
            optimise(accelerator, request, task, 0, states, state)
            state = None
    model = with_head(base, len(request.outputs), request.seed) if request.starts_from_language else base
    units = Units(table, encoder, _grading_units(request, table, indices), request.criteria)
    task = grading_task(request, units, model)
    steps["fit"] = task.steps
    last_loss, weights = optimise(accelerator, request, task, before, states, state)
    facts = {
        "identity": identity, "outputs": request.outputs, "base": request.model, **row_facts, "steps": steps,
        "last_loss": last_loss, "seconds": round(time.monotonic() - started, 1),
        "processes": accelerator.num_processes,
    }  # fmt: skip
    for name in REPORTED:
        facts[name] = getattr(request, name)
    facts["fit"], facts["sft"] = vars(request.fit), request.sft and vars(request.sft)
    if accelerator.is_main_process:
        export(task.module, encoder.processor, Path(request.out), facts, weights, request.export_dtype)
        states.remove()
    accelerator.wait_for_everyone()
    return facts


def _load_start(request: Request):
    """The model the training starts from: one that generates, or an earlier R_phi, whose head is kept."""
    if request.starts_from_language:
        return load_base(request.model)
    outputs = read_facts(request.model)["outputs"]
    if request.sft is not None or outputs != request.outputs:
        raise UserError(
            f"{request.model} is a reward model with the outputs {', '.join(outputs)}. It can be trained "
            "further without a language-model warm-up (sft: null) and with the same outputs; asked were "
            f"{', '.join(request.outputs)}."
        )
    return load_exported(request.model)


def _screened_rows(
    request: Request, accelerator, encoder: Encoder, work: Path
) -> tuple[GradedTable, list[int], dict]:
    """(all rows, indices of those that are used, facts about them)."""
    table_file, indices_file = work / "rows.arrow", work / "rows.json"
    if accelerator.is_main_process:
        work.mkdir(parents=True, exist_ok=True)
        Path(request.out).parent.mkdir(parents=True, exist_ok=True)
        table = GradedTable(lay_out(request.rows, table_file))
        write_json(indices_file, screen(table, encoder, request.max_length, request.overlong))
    accelerator.wait_for_everyone()
    table, indices = GradedTable(table_file), json.loads(indices_file.read_text())
    made_by = table.column("made_by")
    facts = {
        "rows": len(indices),
        "dropped_overlong": len(table) - len(indices),
        "made_by": Counter(made_by[index] for index in indices),
    }
    return table, indices, facts


def _grading_units(request: Request, table: GradedTable, indices: list[int]) -> list[tuple[int, ...]]:
    """The rows of each unit that is graded: one, or for pairs the better and the worse."""
    if request.loss != "pairwise":
        return [(index,) for index in indices]
    ids, grades = table.ids(), table.column("grade")
    pairs = preference_pairs([ids[index] for index in indices], [grades[index] for index in indices])
    return [(indices[better], indices[worse]) for better, worse in pairs]


def main(request_file: str) -> int:
    """Train as the request says; 0 after the model was exported, 2 on a user's error."""
    return exit_code(lambda: train(Request.read(request_file)))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
