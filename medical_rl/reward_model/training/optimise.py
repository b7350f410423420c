"""One phase of R_phi's training, step by step: its optimiser, its saved states, its log."""

import math
from contextlib import nullcontext

import torch
from torch.utils.data import DataLoader

from medical_rl.errors import StageFailed
from medical_rl.reward_model.model import HEAD
from medical_rl.reward_model.training.plan import batches, learning_rate_share, process_share
from medical_rl.reward_model.training.request import Phase, Request
from medical_rl.reward_model.training.tasks import Task
from medical_rl.training.encode import to_device
from medical_rl.training.log import log_step
from medical_rl.training.saved_states import SavedStates


def optimise(
    accelerator, request: Request, task: Task, before: int, states: SavedStates, state: dict | None
) -> tuple[float | None, dict[str, torch.Tensor]]:
    """(mean loss of the last logged steps or None, the trained weights) after the task's steps.

    before  steps of the whole training that came earlier
    state   the saved state (`states.newest`) of this phase to go on from, None to begin it
    """
    phase, steps, first = task.phase, task.steps, 0
    optimiser = torch.optim.AdamW(
        _parameter_groups(task.module, phase),
        betas=(0.9, phase.beta2),
        weight_decay=phase.weight_decay,
        fused=True,
    )
    module, optimiser = accelerator.prepare(task.module, optimiser)
    if state is not None:
        accelerator.load_state(str(state["folder"]))
        first = state["step"]
    shares = []
    for batch in batches(task.units.groups, phase.batch_size, steps, request.seed):
        shares.append(process_share(batch, accelerator.process_index, accelerator.num_processes))
    loader = DataLoader(
        task.units, batch_sampler=shares[first:], collate_fn=list, num_workers=request.workers
    )
    module.train()
    losses: list[float] = []
    last = None
    for step, units in enumerate(loader, start=first + 1):
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * learning_rate_share(step - 1, steps, phase.lr_warmup_ratio)
        losses.append(_step(accelerator, request, task, module, optimiser, units))
        if step % request.log_every == 0 or step == steps:
            last, losses = sum(losses) / len(losses), []
            figures = {"loss": last, "lr": optimiser.param_groups[0]["lr"]}
            if accelerator.is_main_process:
                log_step(request.metrics, "reward_model", "reward_model", task.name, before + step, figures)
        if step % request.save_every == 0 or (step == steps and task.name == "sft"):
            states.save(accelerator, before + step, phase=task.name, step=step)
    weights = accelerator.get_state_dict(module)
    accelerator.unwrap_model(module, keep_fp32_wrapper=False)
    accelerator.free_memory()
    return last, weights


def _parameter_groups(module, phase: Phase) -> list[dict]:
    """Body and head as parameter groups with their peak learning rates."""
    body, head = [], []
    for name, parameter in module.named_parameters():
        (head if name == HEAD else body).append(parameter)
    groups = []
    for parameters, peak in ((body, phase.lr), (head, phase.lr * phase.head_lr_ratio)):
        if parameters:
            groups.append({"params": parameters, "peak": peak, "lr": peak})
    return groups


def _step(accelerator, request: Request, task: Task, module, optimiser, units: list) -> float:
    """Loss of one step over all processes, after the weights were changed by it.

    Raises StageFailed for a loss that is no finite number.
    """
    size = max(1, request.micro_batch // len(units[0]))
    total = 0.0
    for start in range(0, len(units), size):
        part = units[start : start + size]
        batch = to_device(task.batch(part), accelerator.device)
        is_last = start + size >= len(units)
        with nullcontext() if is_last else accelerator.no_sync(module):
            loss = task.loss(module, batch) * (len(part) / len(units))
            accelerator.backward(loss)
        total = total + loss.detach()
    total = float(accelerator.reduce(total, "mean"))
    if not math.isfinite(total):
        raise StageFailed(
            f"The reward model's loss became {total} in the phase {task.name}: lower its learning rate."
        )
    accelerator.clip_grad_norm_(module.parameters(), request.max_grad_norm)
    optimiser.step()
    optimiser.zero_grad()
    return total
