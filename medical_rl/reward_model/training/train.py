"""Trains R_phi: `python -m medical_rl.reward_model.training.train REQUEST.json` (request.py).

First language of the best texts (sft): before it can grade texts about an image, a small model must read both.
Then the grades (fit), by regression (MedGR2, equation 1) or by Bradley-Terry on pairs (its Algorithm 1, line
13). Several GPUs: torchrun or accelerate launch. An interrupted training goes on from its last saved state; one
that is done is left as it is. Exit code 2 and one paragraph on a user's error.
"""

import dataclasses
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from medical_rl.errors import StageFailed, UserError, exit_code
from medical_rl.reward_model.model import (
    FACTS,
    HEAD,
    export,
    hidden_states,
    load_base,
    load_exported,
    read_facts,
    with_head,
)
from medical_rl.reward_model.training.dataset import (
    GradedTable,
    Units,
    batches,
    lay_out,
    learning_rate_share,
    preference_pairs,
    process_share,
    screen,
    steps_of,
)
from medical_rl.reward_model.training.request import Phase, Request
from medical_rl.run.files import write_json
from medical_rl.training.encode import Encoder, image_limits_of, load_processor, to_device
from medical_rl.training.log import log_step
from medical_rl.training.saved_states import SavedStates, require_all_steps

SCALE = 6.0  # grades run from -6 to 10: errors near 1 for AdamW, while the head itself speaks in grades
CENTRE = 0.01  # weight of the pull to zero
# Settings that the exported model's facts tell, beside those of its phases.
REPORTED = (
    "loss", "seed", "phantom", "criteria", "min_pixels", "max_pixels", "max_length", "precision",
)  # fmt: skip


def mse(scores: Tensor, targets: Tensor, criteria_weight: float) -> Tensor:
    """Mean of ((score - grade) / 6)^2 of the total, plus `criteria_weight` times that of known criteria.

    scores, targets  (rows, 1 + criteria); a target that is not known is NaN

    >>> mse(torch.tensor([[4.0], [0.0]]), torch.tensor([[10.0], [0.0]]), 0.0).item()
    0.5
    """
    known = ~targets.isnan()
    errors = torch.where(known, (scores - targets.nan_to_num()) / SCALE, 0.0) ** 2
    loss = errors[:, 0].mean()
    if scores.shape[1] > 1 and criteria_weight:
        loss = loss + criteria_weight * errors[:, 1:].sum() / known[:, 1:].sum().clamp(min=1)
    return loss


def pairwise(better: Tensor, worse: Tensor) -> Tensor:
    """Mean of -log sigmoid(better - worse) over the totals, and a weak pull of each pair to zero.

    better, worse  (pairs, outputs)

    Pairs say nothing of the level of a sample's scores: without the pull they drifted by thirty from image to
    image, and scores of different images could not be compared. The scale of the scores is left free.

    >>> round(pairwise(torch.tensor([[0.0]]), torch.tensor([[0.0]])).item(), 4)
    0.6931
    """
    better, worse = better[:, 0], worse[:, 0]
    return -functional.logsigmoid(better - worse).mean() + CENTRE * (better + worse).square().mean()


class LanguageLoss(nn.Module):
    """The generating model as a module whose output is its next-token loss on the responses."""

    def __init__(self, base):
        super().__init__()
        self.base = base

    def forward(self, **batch) -> Tensor:
        """The mean cross-entropy of the responses' tokens."""
        hidden = hidden_states(self.base.model, batch)
        predicted = batch["response"][:, 1:]
        # no other position's logits are needed, and they are large
        logits = self.base.lm_head(hidden[:, :-1][predicted])
        return functional.cross_entropy(logits.float(), batch["input_ids"][:, 1:][predicted])


@dataclasses.dataclass
class Task:
    """One phase of a training: its name (sft, fit), what it is trained on, and the module.

    loss  (module as it was wrapped for training, batch) -> the batch's loss
    """

    name: str
    phase: Phase
    units: Units
    module: nn.Module
    loss: Callable[[nn.Module, dict[str, Tensor]], Tensor]

    @property
    def steps(self) -> int:
        """Number of the phase's steps."""
        phase = self.phase
        return steps_of(len(self.units), phase.batch_size, phase.epochs, phase.steps)


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
    table, indices = _screened_rows(request, accelerator, encoder, work)
    kinds = table.column("made_by")
    states = SavedStates(
        work, "step_", "progress.json", identity, "a reward model trained with other settings"
    )
    state = states.newest()
    base = _load_start(request)
    if request.gradient_checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
    steps, before = {}, 0
    if request.sft is not None:
        best = Units(table, encoder, [(index,) for index in indices if kinds[index] == "original"])
        task = Task("sft", request.sft, best, LanguageLoss(base), lambda module, batch: module(**batch))
        before = steps["sft"] = task.steps
        if state is None or state["phase"] == "sft":
            optimise(accelerator, request, task, 0, states, state)
            state = None
    model = with_head(base, len(request.outputs), request.seed) if request.starts_from_language else base
    task = grading_task(request, table, indices, encoder, model)
    steps["fit"] = task.steps
    last_loss, weights = optimise(accelerator, request, task, before, states, state)
    facts = {
        "identity": identity, "outputs": request.outputs, "base": request.model, "rows": len(indices),
        "dropped_overlong": len(table) - len(indices), "made_by": Counter(kinds[index] for index in indices),
        "steps": steps, "last_loss": last_loss, "seconds": round(time.monotonic() - started, 1),
        "processes": accelerator.num_processes,
    }  # fmt: skip
    for name in REPORTED:
        facts[name] = getattr(request, name)
    facts["fit"], facts["sft"] = vars(request.fit), request.sft and vars(request.sft)
    if accelerator.is_main_process:
        export(model, encoder.processor, Path(request.out), facts, weights, request.export_dtype)
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
) -> tuple[GradedTable, list[int]]:
    """(all rows, indices of those that are used); found by the main process."""
    table_file, indices_file = work / "rows.arrow", work / "rows.json"
    if accelerator.is_main_process:
        work.mkdir(parents=True, exist_ok=True)
        Path(request.out).parent.mkdir(parents=True, exist_ok=True)
        table = GradedTable(lay_out(request.rows, table_file))
        write_json(indices_file, screen(table, encoder, request.max_length, request.overlong))
    accelerator.wait_for_everyone()
    return GradedTable(table_file), json.loads(indices_file.read_text())


def grading_task(request: Request, table: GradedTable, indices: list[int], encoder: Encoder, model) -> Task:
    """The task of `request.loss`: regression on the grades, or pairs of responses to one question."""
    members = list(zip(indices))

    def loss(module, batch):
        return mse(module(**batch), batch["grades"], request.criteria_weight)

    def pair_loss(module, batch):
        better, worse = batch["members"].T
        scores = module(**batch)
        return pairwise(scores[better], scores[worse])

    if request.loss == "pairwise":
        ids, grades = table.ids(), table.column("grade")
        pairs = preference_pairs([ids[index] for index in indices], [grades[index] for index in indices])
        members, loss = [(indices[better], indices[worse]) for better, worse in pairs], pair_loss
    return Task("fit", request.fit, Units(table, encoder, members, request.criteria), model, loss)


def optimise(
    accelerator, request: Request, task: Task, before: int, states: SavedStates, state: dict | None
) -> tuple[float | None, dict[str, Tensor]]:
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
    last, step = None, first
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
    require_all_steps(f"The phase {task.name} of R_phi's training", step, steps)
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
        batch = to_device(task.units.batch(part), accelerator.device)
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


def main(request_file: str) -> int:
    """Train as the request says; 0 after the model was exported, 2 on a user's error."""
    return exit_code(lambda: train(Request.read(request_file)))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
