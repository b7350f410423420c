"""The process that aligns a labeller: `python -m medical_rl.pseudo_label.alignment.dpo REQUEST.json`.

TRL's DPOTrainer with LoRA on the language model; the reference is the model with its adapters off. Several
GPUs: torchrun. A killed training goes on from its last whole state; one that is done is left as it is. Exit
code 2 on a user's error.
"""

import dataclasses
import json
import math
import os
import sys
import time
from pathlib import Path

from medical_rl.errors import StageFailed, UserError, exit_code, unknown
from medical_rl.run.files import digest
from medical_rl.training.log import log_step
from medical_rl.training.request import TrainingRequest
from medical_rl.training.saved_states import SavedStates, require_all_steps

LOSSES = ("sigmoid", "sft")
# What TRL logs, and what it is called in metrics.jsonl.
METRIC_NAMES = {
    "loss": "loss", "learning_rate": "lr", "grad_norm": "grad_norm", "rewards/margins": "reward_margin",
    "rewards/accuracies": "pair_accuracy", "logps/chosen": "chosen_logprob",
    "logps/rejected": "rejected_logprob",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Lora:
    """Low-rank adapters on every linear layer of the language model; RULE's rank and alpha."""

    r: int = 128
    alpha: int = 256
    dropout: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(TrainingRequest):
    """One preference tuning of `model`, which is also the reference.

    pairs          parquet file of training pairs (pairs.py)
    name           what its figures are called in metrics.jsonl; first_step is added to its steps (what another
                   training took before)
    loss_type      sigmoid (DPO), sft (the chosen text's negative log-likelihood, a token), or both, weighted
                   by loss_weights
    beta           how far the reference is left: the lower, the further
    epochs, steps  passes over the pairs, or steps (one of the two)
    batch_size     pairs a step over all devices; micro_batch of one pass on one device
    export_dtype   of the merged weights; auto is the model's own
    """

    TRAINING = "preference tuning"
    PARTS = {"lora": Lora, "loss_type": tuple, "loss_weights": tuple}
    CHOICES = {
        "loss_type": ("loss of preference tuning named", LOSSES),
        "precision": ("precision", ("fp32", "bf16")),
        "export_dtype": ("format of merged weights named", ("auto", "float32", "bfloat16")),
        "lr_schedule": ("schedule of the learning rate named", ("constant", "linear", "cosine")),
    }
    NOT_IDENTITY = (*TrainingRequest.NOT_IDENTITY, "name", "first_step", "phantom")
    pairs: str
    name: str = "dpo"
    first_step: int = 0
    loss_type: tuple[str, ...] = LOSSES
    loss_weights: tuple[float, ...] = (1.0, 1.0)
    beta: float = 0.1
    lora: Lora = Lora()
    lr: float = 1e-7
    lr_schedule: str = "cosine"
    lr_warmup_ratio: float = 0.03
    weight_decay: float = 0.0
    epochs: float | None = 3
    steps: int | None = None
    batch_size: int = 16
    micro_batch: int = 1
    export_dtype: str = "auto"
    log_every: int = 1

    def check(self) -> None:
        """Raise UserError for a value that could not be trained with."""
        super().check()
        if not self.loss_type:
            raise unknown("loss of preference tuning named", "", LOSSES)
        if len(self.loss_weights) != len(self.loss_type):
            raise UserError(
                f"conf.alignment has {len(self.loss_type)} losses ({', '.join(self.loss_type)}) and "
                f"{len(self.loss_weights)} weights; give loss_weights one number a loss."
            )
        if (self.epochs is None) == (self.steps is None):
            raise UserError(f"Give either epochs or steps; they are {self.epochs} and {self.steps}.")

    def content_hashes(self) -> dict[str, str]:
        """The pairs count by their content."""
        return {"pairs": digest(Path(self.pairs))}

    def accumulation(self, processes: int) -> int:
        """Passes of a step on each of `processes` devices. Raises UserError for a batch not to be shared."""
        passes, rest = divmod(self.batch_size, self.micro_batch * processes)
        if rest or not passes:
            raise UserError(
                f"A batch of {self.batch_size} pairs cannot be made of {processes} processes with "
                f"{self.micro_batch} pairs a pass: conf.alignment.batch_size must be a multiple of "
                "conf.alignment.micro_batch times the number of GPUs."
            )
        return passes

    def planned_steps(self, pairs: int, processes: int) -> int:
        """Steps of the whole training on so many pairs; the last of a pass over them may be a smaller batch.

        >>> asked = dict(model="m", out="o", work="w", pairs="p", min_pixels=1, max_pixels=1)
        >>> Request(**asked, epochs=3).planned_steps(33, 1), Request(**asked, steps=5).planned_steps(33, 1)
        (9, 5)
        """
        if self.steps is not None:
            return self.steps
        passes = math.ceil(math.ceil(pairs / processes) / self.micro_batch)
        return math.ceil(self.epochs * max(1, math.ceil(passes / self.accumulation(processes))))


def train(request: Request) -> dict:
    """The facts of the aligned model (alignment.json), trained now unless the folder holds it already."""
    import torch

    from medical_rl.pseudo_label.alignment import chat, export

    out, work = Path(request.out), Path(request.work)
    training = "a preference tuning with other settings or other pairs"
    states = SavedStates(work, "checkpoint-", "whole.json", request.identity(), training)
    if (out / export.FACTS).is_file():
        facts = json.loads((out / export.FACTS).read_text())
        if facts["identity"] == states.identity:
            return facts
    start = time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = chat.load_pairs(request.pairs, work / "rows")
    trainer, model_dtype = build(request, rows, states)
    # The Trainer writes a state in place, so that a kill may leave half of one: only marked ones count.
    state = states.newest()
    trainer.train(resume_from_checkpoint=str(state["folder"]) if state else None)
    planned = request.planned_steps(len(rows), trainer.accelerator.num_processes)
    require_all_steps("Preference tuning", trainer.state.global_step, planned)
    facts = {
        "identity": states.identity, "base": request.model, "pairs": len(rows),
        "steps": trainer.state.global_step, "seconds": round(time.monotonic() - start, 1),
        "settings": dataclasses.asdict(request),
    }  # fmt: skip
    if trainer.is_world_process_zero():
        peft = trainer.accelerator.unwrap_model(trainer.model)
        if request.export_dtype != "auto":
            model_dtype = getattr(torch, request.export_dtype)
        model, facts["changed"] = export.merge(peft, model_dtype)
        export.save(model, request.model, out, facts)
        states.remove()
    trainer.accelerator.wait_for_everyone()
    return facts


def build(request: Request, rows, states: SavedStates):
    """(the trainer, the number format of the model's folder)."""
    import torch
    from peft import LoraConfig
    from transformers import AutoConfig, AutoModelForImageTextToText, PrinterCallback
    from trl import DPOConfig, DPOTrainer

    from medical_rl.pseudo_label.alignment.chat import PairCollator
    from medical_rl.training.encode import image_limits_of, load_processor

    settings = arguments(request, int(os.environ.get("WORLD_SIZE", "1")))
    model_dtype = AutoConfig.from_pretrained(request.model).dtype or torch.float32
    dtype = torch.bfloat16 if request.precision == "bf16" else torch.float32
    model = AutoModelForImageTextToText.from_pretrained(
        request.model, dtype=dtype, attn_implementation="sdpa"
    )
    processor = load_processor(request.model, image_limits_of(vars(request)))
    adapters = LoraConfig(
        r=request.lora.r, lora_alpha=request.lora.alpha, lora_dropout=request.lora.dropout,
        target_modules="all-linear", exclude_modules=".*visual.*", task_type="CAUSAL_LM",
    )  # fmt: skip
    trainer = DPOTrainer(
        model=model, args=DPOConfig(**settings), train_dataset=rows, processing_class=processor,
        data_collator=PairCollator(processor), peft_config=adapters,
        callbacks=[step_callback(request, states)],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)  # the lines of our own callback are enough
    return trainer, model_dtype


def arguments(request: Request, processes: int) -> dict:
    """TRL's settings of a request, those included whose defaults would hurt.

    max_length None: TRL's 1,024 cuts a prompt with images and reports before its answer, and the margins are
    silently zero.
    """
    checkpointing = {"use_reentrant": False} if request.gradient_checkpointing else None
    return {
        "output_dir": request.work, "per_device_train_batch_size": request.micro_batch,
        "gradient_accumulation_steps": request.accumulation(processes), "learning_rate": request.lr,
        "lr_scheduler_type": request.lr_schedule, "warmup_steps": request.lr_warmup_ratio,
        "weight_decay": request.weight_decay, "max_grad_norm": request.max_grad_norm,
        "num_train_epochs": request.epochs or 1.0, "max_steps": request.steps or -1,
        "loss_type": list(request.loss_type), "loss_weights": list(request.loss_weights),
        "beta": request.beta, "max_length": None, "disable_dropout": request.lora.dropout == 0,
        "seed": request.seed, "data_seed": request.seed, "bf16": request.precision == "bf16",
        "use_cpu": request.device == "cpu", "gradient_checkpointing": request.gradient_checkpointing,
        "gradient_checkpointing_kwargs": checkpointing, "save_strategy": "steps",
        "save_steps": request.save_every, "save_total_limit": 2, "logging_strategy": "steps",
        "logging_steps": request.log_every, "logging_nan_inf_filter": False, "report_to": "none",
        "disable_tqdm": True, "remove_unused_columns": False, "dataloader_num_workers": request.workers,
        "dataloader_pin_memory": request.device != "cpu",
    }  # fmt: skip


def step_callback(request: Request, states: SavedStates):
    """The Trainer's callback: metrics.jsonl, marks on whole states, an end where the loss is no number."""
    from transformers import TrainerCallback

    class StepCallback(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            if not state.is_world_process_zero or "loss" not in (logs or {}):
                return
            if not math.isfinite(logs["loss"]):
                raise StageFailed(
                    f"The loss of preference tuning became {logs['loss']}: lower conf.alignment.lr."
                )
            numbers = {ours: logs[name] for name, ours in METRIC_NAMES.items() if name in logs}
            step = request.first_step + state.global_step
            log_step(request.metrics, "align", "alignment", request.name, step, numbers)

        def on_save(self, args, state, control, **_):
            if state.is_world_process_zero:
                folder = states.work / f"{states.prefix}{state.global_step}"
                states.mark_whole(folder, step=state.global_step)

    return StepCallback()


def main(request_file: str) -> int:
    """Run the training of a request file; returns 0 after the model was exported, 2 on a user's error."""
    if "WORLD_SIZE" not in os.environ:  # one process takes one GPU; with several in sight TRL refuses
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return exit_code(lambda: train(Request.read(request_file)))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
