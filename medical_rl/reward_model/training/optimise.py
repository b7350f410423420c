"""One phase of R_phi's training, step by step: its optimiser, its saved states and what is logged of it.

Saved states of a training: each whole or not there, the newest one used, none of another training taken up.
"""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from medical_rl.errors import StageFailed, UserError
from medical_rl.reward_model.model import HEAD
from medical_rl.reward_model.training.plan import batches, rate, share
from medical_rl.reward_model.training.request import Phase, Request
from medical_rl.reward_model.training.tasks import Task
from medical_rl.run.training_log import log_step
from medical_rl.training.encode import moved


def optimise(accelerator, request: Request, task: Task, steps: int, before: int, state: dict | None):
    """(mean loss of the last logged steps or None, the trained weights); `before` steps of the whole training came earlier."""
    phase, first = task.phase, 0
    optimiser = torch.optim.AdamW(
        _parts(task.module, phase), betas=(0.9, phase.beta2), weight_decay=phase.weight_decay, fused=True
    )
    module, optimiser = accelerator.prepare(task.module, optimiser)
    if state is not None:
        accelerator.load_state(str(state["folder"]))
        first = state["step"]
    plan = list(batches(task.units.groups, phase.batch_size, steps, request.seed))[first:]
    shares = [share(batch, accelerator.process_index, accelerator.num_processes) for batch in plan]
    loader = DataLoader(task.units, batch_sampler=shares, collate_fn=list, num_workers=request.workers)
    module.train()
    losses: list[float] = []
    last = None
    for step, units in enumerate(loader, start=first + 1):
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * rate(step - 1, steps, phase.lr_warmup_ratio)
        losses.append(_step(accelerator, request, task, module, optimiser, units))
        if step % request.log_every == 0 or step == steps:
            told = {"loss": sum(losses) / len(losses), "lr": optimiser.param_groups[0]["lr"]}
            if accelerator.is_main_process:
                log_step(request.metrics, "reward_model", "reward_model", task.name, before + step, told)
            last, losses = told["loss"], []
        if step % request.save_every == 0 or (step == steps and task.name == "sft"):
            save(accelerator, Path(request.work), request.identity(), task.name, step, before + step)
    weights = accelerator.get_state_dict(module)
    accelerator.unwrap_model(module, keep_fp32_wrapper=False)
    accelerator.free_memory()
    return last, weights


def _parts(module, phase: Phase) -> list[dict]:
    """Body and head as parameter groups with their peak learning rates."""
    body, head = [], []
    for name, parameter in module.named_parameters():
        (head if name == HEAD else body).append(parameter)
    peaks = ((body, phase.lr), (head, phase.lr * phase.head_lr_ratio))
    return [{"params": parameters, "peak": peak, "lr": peak} for parameters, peak in peaks if parameters]


def _step(accelerator, request: Request, task: Task, module, optimiser, units: list) -> float:
    """Loss of one step over all processes, after the weights were changed by it."""
    size = max(1, request.micro_batch // len(units[0]))
    parts = [units[i : i + size] for i in range(0, len(units), size)]
    whole = 0.0
    for i, part in enumerate(parts):
        batch = moved(task.batch(part), accelerator.device)
        with accelerator.no_sync(module) if i + 1 < len(parts) else nullcontext():
            loss = task.loss(module, batch) * (len(part) / len(units))
            accelerator.backward(loss)
        whole = whole + loss.detach()
    whole = float(accelerator.reduce(whole, "mean"))
    if whole != whole or whole in (float("inf"), float("-inf")):
        raise StageFailed(
            f"The reward model's loss became {whole} in the phase {task.name}: lower its learning rate."
        )
    accelerator.clip_grad_norm_(module.parameters(), request.max_grad_norm)
    optimiser.step()
    optimiser.zero_grad()
    return whole


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
