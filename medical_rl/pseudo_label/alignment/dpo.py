"""Aligns a labeller in a process of its own: `python -m medical_rl.pseudo_label.alignment.dpo REQUEST.json` (dpo_request.py).

TRL's DPOTrainer with LoRA on the language model; the reference is the model with its adapters off. Several GPUs: torchrun.
A killed training goes on from its last whole state; one that is done is left as it is. Exit code 2 on a user's error.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import time
from pathlib import Path

from medical_rl.errors import StageFailed, exit_code
from medical_rl.pseudo_label.alignment.request import Request
from medical_rl.run.training_log import log_step

# What TRL logs, and what it is called in metrics.jsonl.
TOLD = {
    "loss": "loss", "learning_rate": "lr", "grad_norm": "grad_norm", "rewards/margins": "reward_margin",
    "rewards/accuracies": "pair_accuracy", "logps/chosen": "chosen_logprob", "logps/rejected": "rejected_logprob",
}  # fmt: skip


def train(request: Request) -> dict:
    """The facts of the aligned model (alignment.json); nothing is trained if the folder holds that model already."""
    from medical_rl.pseudo_label.alignment import export, states, table

    identity, out, work = request.identity(), Path(request.out), Path(request.work)
    done = out / export.FACTS
    if done.is_file() and (facts := json.loads(done.read_text()))["identity"] == identity:
        return facts
    begun = time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = table.load(request.pairs, work / "rows")
    trainer, own = build(request, rows, identity)
    state = states.newest(work, identity)
    trainer.train(resume_from_checkpoint=str(state) if state else None)
    facts = {
        "identity": identity, "base": request.model, "pairs": len(rows), "steps": trainer.state.global_step,
        "seconds": round(time.monotonic() - begun, 1), "settings": dataclasses.asdict(request),
    }  # fmt: skip
    if trainer.is_world_process_zero():
        peft = trainer.accelerator.unwrap_model(trainer.model)
        dtype = export.dtype_of(request.export_dtype, own)
        model, facts["changed"] = export.merge(peft, dtype)
        export.save(model, request.model, out, facts)
        states.remove(work)
    trainer.accelerator.wait_for_everyone()
    return facts


def build(request: Request, rows, identity: str):
    """(the trainer, the number format of the model's folder)."""
    import torch
    from peft import LoraConfig
    from transformers import AutoConfig, AutoModelForImageTextToText, PrinterCallback
    from trl import DPOConfig, DPOTrainer

    from medical_rl.pseudo_label.alignment.table import Collator
    from medical_rl.training.encode import limits_of, load_processor

    settings = arguments(request, int(os.environ.get("WORLD_SIZE", "1")))
    own = AutoConfig.from_pretrained(request.model).dtype or torch.float32
    model = AutoModelForImageTextToText.from_pretrained(
        request.model,
        dtype=torch.bfloat16 if request.precision == "bf16" else torch.float32,
        attn_implementation="sdpa",
    )
    processor = load_processor(request.model, limits_of(vars(request)))
    adapters = LoraConfig(
        r=request.lora.r, lora_alpha=request.lora.alpha, lora_dropout=request.lora.dropout,
        target_modules="all-linear", exclude_modules=".*visual.*", task_type="CAUSAL_LM",
    )  # fmt: skip
    trainer = DPOTrainer(
        model=model, args=DPOConfig(**settings), train_dataset=rows, processing_class=processor,
        data_collator=Collator(processor), peft_config=adapters, callbacks=[watcher(request, identity)],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)  # the watcher's lines are enough
    return trainer, own


def arguments(request: Request, processes: int) -> dict:
    """TRL's settings of a request, those included whose defaults would hurt.

    max_length None: TRL's 1,024 cuts a prompt with images and reports before its answer, and the margins are silently zero.
    """
    return {
        "output_dir": request.work, "per_device_train_batch_size": request.micro_batch,
        "gradient_accumulation_steps": request.accumulation(processes), "learning_rate": request.lr,
        "lr_scheduler_type": request.lr_schedule, "warmup_steps": request.lr_warmup_ratio,
        "weight_decay": request.weight_decay, "max_grad_norm": request.max_grad_norm,
        "num_train_epochs": request.epochs or 1.0, "max_steps": request.steps or -1,
        "loss_type": list(request.loss_type), "loss_weights": list(request.loss_weights), "beta": request.beta,
        "max_length": None, "disable_dropout": request.lora.dropout == 0, "seed": request.seed, "data_seed": request.seed,
        "bf16": request.precision == "bf16", "use_cpu": request.device == "cpu",
        "gradient_checkpointing": request.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if request.gradient_checkpointing else None,
        "save_strategy": "steps", "save_steps": request.save_every, "save_total_limit": 2,
        "logging_strategy": "steps", "logging_steps": request.log_every, "logging_nan_inf_filter": False,
        "report_to": "none", "disable_tqdm": True, "remove_unused_columns": False,
        "dataloader_num_workers": request.workers, "dataloader_pin_memory": request.device != "cpu",
    }  # fmt: skip


def watcher(request: Request, identity: str):
    """The Trainer's callback: metrics.jsonl, marks on whole states, and an end to a training whose loss is no number."""
    from transformers import TrainerCallback

    from medical_rl.pseudo_label.alignment import states

    class Watcher(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            if not state.is_world_process_zero or "loss" not in (logs or {}):
                return
            if not math.isfinite(logs["loss"]):
                raise StageFailed(
                    f"The loss of preference tuning became {logs['loss']}: lower conf.alignment.lr."
                )
            told = {says: logs[name] for name, says in TOLD.items() if name in logs}
            step = request.first_step + state.global_step
            log_step(request.metrics, "align", "alignment", request.name, step, told)

        def on_save(self, args, state, control, **_):
            if state.is_world_process_zero:
                states.mark(Path(request.work), state.global_step, identity)

    return Watcher()


def main(request_file: str) -> int:
    """0 after the model was exported, 2 on a user's error."""
    if "WORLD_SIZE" not in os.environ:  # one process takes one GPU; with several in sight TRL refuses
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return exit_code(lambda: train(Request.read(request_file)))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
