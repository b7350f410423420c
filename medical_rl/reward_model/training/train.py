"""Trains R_phi in a process of its own: `python -m medical_rl.reward_model.training.train REQUEST.json` (request.py).

Several GPUs: `accelerate launch -m medical_rl.reward_model.training.train REQUEST.json`, or torchrun. An interrupted training goes
on from its last saved state; one that is done is left as it is. Exit code 2 and one paragraph on a user's error.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import set_seed

from medical_rl.errors import UserError, exit_code
from medical_rl.reward_model.model import FACTS, export, load_base, load_exported, read_facts, with_head
from medical_rl.reward_model.training import optimise as saved_state
from medical_rl.reward_model.training.optimise import optimise
from medical_rl.reward_model.training.plan import GradedTable, grouped, lay_out, pairs, steps_of
from medical_rl.reward_model.training.request import Request
from medical_rl.reward_model.training.tasks import Language, LanguageLoss, Units, grading_task
from medical_rl.training.encode import Encoder, limits_of, load_processor


def train(request: Request) -> dict:
    """The facts of the exported model (reward_model.json); nothing is trained if the folder holds that model already."""
    done = Path(request.out) / FACTS
    if done.is_file() and (facts := json.loads(done.read_text()))["identity"] == request.identity():
        return facts
    begun, work = time.monotonic(), Path(request.work)
    accelerator = Accelerator(
        cpu=request.device == "cpu", mixed_precision={"fp32": "no"}.get(request.precision, "bf16")
    )
    set_seed(request.seed)
    encoder = Encoder(load_processor(request.model, limits_of(vars(request))))
    table, kept, screening = _rows(request, accelerator, encoder, work)
    state = saved_state.newest(work, request.identity())
    base, total = _base(request), 0
    if request.gradient_checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
    units, all_steps = _units(request, table, kept, encoder), {}
    if request.sft is not None:
        task = Language("sft", request.sft, units["sft"], LanguageLoss(base))
        all_steps["sft"] = steps_of(
            len(task.units), task.phase.batch_size, task.phase.epochs, task.phase.steps
        )
        if state is None or state["phase"] == "sft":
            optimise(accelerator, request, task, all_steps["sft"], 0, state)
        total, state = all_steps["sft"], state if state and state["phase"] == "fit" else None
    model = with_head(base, 1 + len(request.criteria), request.seed) if request.starts_from_language else base
    task = grading_task(request, units["fit"], model)
    all_steps["fit"] = steps_of(len(task.units), task.phase.batch_size, task.phase.epochs, task.phase.steps)
    last, weights = optimise(accelerator, request, task, all_steps["fit"], total, state)
    facts = {"identity": request.identity(), "outputs": request.outputs, "base": request.model, **screening,
             "steps": all_steps, "last_loss": last, "seconds": round(time.monotonic() - begun, 1),
             "processes": accelerator.num_processes, **_told(request)}  # fmt: skip
    if accelerator.is_main_process:
        export(task.module, encoder.processor, Path(request.out), facts, weights, request.export_dtype)
        saved_state.remove(work)
    accelerator.wait_for_everyone()
    return facts


def _base(request: Request):
    """The model the training starts from: one that generates, or an earlier R_phi, whose head is kept."""
    if request.starts_from_language:
        return load_base(request.model)
    outputs = read_facts(request.model)["outputs"]
    if request.sft is not None or outputs != request.outputs:
        raise UserError(
            f"{request.model} is a reward model with the outputs {', '.join(outputs)}. It can be trained further without a "
            f"language-model warm-up (sft: null) and with the same outputs; asked were {', '.join(request.outputs)}."
        )
    return load_exported(request.model)


def _told(request: Request) -> dict:
    names = ("loss", "seed", "phantom", "criteria", "min_pixels", "max_pixels", "max_length", "precision")
    told = {name: getattr(request, name) for name in names}
    return {**told, "fit": vars(request.fit), "sft": vars(request.sft) if request.sft else None}


def _rows(request: Request, accelerator, encoder: Encoder, work: Path) -> tuple[GradedTable, list[int], dict]:
    """(all rows, indices of those that are used, what is to be told of them)."""
    laid, screened = work / "rows.arrow", work / "rows.json"
    if accelerator.is_main_process:
        work.mkdir(parents=True, exist_ok=True)
        Path(request.out).parent.mkdir(parents=True, exist_ok=True)
        lay_out(request.rows, laid)
        screened.write_text(
            json.dumps(screen(GradedTable(laid), encoder, request.max_length, request.overlong))
        )
    accelerator.wait_for_everyone()
    table, kept = GradedTable(laid), json.loads(screened.read_text())
    made_by = table.column("made_by")
    told = {
        "rows": len(kept),
        "dropped_overlong": len(table) - len(kept),
        "made_by": Counter(made_by[i] for i in kept),
    }
    return table, kept, told


def screen(table: GradedTable, encoder: Encoder, max_length: int, overlong: str) -> list[int]:
    """Indices of the rows of at most `max_length` tokens. A row is never cut: its last token is what is scored.

    UserError for a row that cannot be encoded, for a longer one if `overlong` is "error", and where nothing is left.
    """
    kept = []
    for index in range(len(table)):
        row = table[index]
        length = encoder.length(row.sample, row.text)
        if length <= max_length:
            kept.append(index)
        elif overlong == "error":
            raise UserError(
                f"The {row.made_by} text of row {row.sample.id!r} has {length} tokens with its question and images; the "
                f"reward model takes {max_length}. Raise max_length, lower max_pixels, or drop such rows (overlong: drop)."
            )
    if not kept:
        raise UserError(
            f"None of the {len(table)} graded rows has at most {max_length} tokens: raise max_length."
        )
    return kept


def _units(request: Request, table: GradedTable, kept: list[int], encoder: Encoder) -> dict[str, Units]:
    made_by, grades, ids = table.column("made_by"), table.column("grade"), table.ids()
    best = [(i,) for i in kept if made_by[i] == "original"]
    members = [(i,) for i in kept]
    if request.loss == "pairwise":
        members = [(kept[i], kept[j]) for i, j in pairs([ids[i] for i in kept], [grades[i] for i in kept])]
    found = {"sft": Units(table, encoder, best), "fit": Units(table, encoder, members, request.criteria)}
    for units in found.values():
        units.groups = grouped([ids[first] for first, *_ in units.members])
    return found


def main(request_file: str) -> int:
    """0 after the model was exported, 2 on a user's error."""
    return exit_code(lambda: train(Request.read(request_file)))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
