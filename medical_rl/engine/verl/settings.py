"""The final settings of a stage: verl's schema filled from the composed configuration and this host."""

import importlib
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict


def flash_attention_works() -> bool:
    """True if flash-attn can be imported in this environment."""
    try:
        importlib.import_module("flash_attn")
    except ImportError:
        return False
    return True


def attention(engine) -> tuple[str, bool, list[str]]:
    """(attention, remove padding, notes): the engine's own, or sdpa where flash-attn is not to be had."""
    if engine.attention == "flash_attention_2" and not flash_attention_works():
        note = "flash-attn cannot be imported: attention is sdpa, and sequences keep their padding"
        return "sdpa", False, [note]
    return str(engine.attention), bool(engine.remove_padding), []


def rl_config(config: DictConfig, model: str) -> tuple[DictConfig, list[str]]:
    """(verl's configuration of GRPO from `model`, notes for the user)."""
    settings = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
    implementation, remove_padding, notes = attention(settings.conf.engine)
    with open_dict(settings):
        policy, rollout = settings.actor_rollout_ref.model, settings.actor_rollout_ref.rollout
        policy.path = model
        policy.use_remove_padding = remove_padding
        policy.override_config.attn_implementation = implementation
        settings.trainer.v1.sampler.sampler_kwargs = replay_settings(settings)
        if rollout.max_model_len is None:
            # else vLLM reserves for the model's own longest context
            rollout.max_model_len = int(settings.data.max_prompt_length + settings.data.max_response_length)
    return settings, notes


def replay_settings(settings: DictConfig) -> dict:
    """What verl would pass to its own replay buffer and leaves out for a custom one (verl 0.9.1)."""
    filtering = settings.algorithm.get("filter_groups")
    metric = filtering.metric if filtering and filtering.enable else None
    refill = bool(settings.trainer.v1.sampler.get("sync_refill_failed_groups", False))
    batch = int(settings.data.train_batch_size)
    return {
        **OmegaConf.to_container(settings.trainer.v1.sampler.sampler_kwargs, resolve=True),
        "filter_groups_metric": metric,
        "sync_refill_failed_groups": refill,
        "train_batch_size": batch,
        "gen_batch_size": 1 if metric or refill else settings.data.get("gen_batch_size") or batch,
        "max_inflight_gen_batches": int(filtering.max_inflight_gen_batches) if metric else 1,
    }


def sft_length(settings, rows: int) -> tuple[int, int]:
    """(steps, passes over the rows) of supervised training: by its `steps` if given, else its `epochs`.

    >>> sft_length({"batch_size": 256, "steps": 120}, 600), sft_length({"batch_size": 4, "epochs": 2}, 10)
    ((120, 60), (4, 2))
    """
    steps_a_pass = rows // int(settings["batch_size"])
    steps = int(settings.get("steps") or steps_a_pass * int(settings["epochs"]))
    return steps, -(-steps // steps_a_pass)


def sft_overrides(
    config: DictConfig, model: str, files: dict, checkpoints: Path, rows: int, training, stage: str
) -> tuple[list[str], list[str]]:
    """(overrides of verl's `sft_trainer_engine`, notes) for `stage` by conf.warm_start or conf.sft.

    SFT has a schema of its own in verl.
    """
    conf = config.conf
    implementation, remove_padding, notes = attention(conf.engine)
    steps, epochs = sft_length(training, rows)
    train_files = map(str, [files["train"], *files.get("also", ())])
    often = training.get("save_freq") or "after_each_epoch"
    precision = f"{{param_dtype: {conf.engine.precision}, reduce_dtype: fp32, buffer_dtype: fp32}}"
    values = {
        "data.train_files": "[" + ",".join(map(_quote, train_files)) + "]",
        "data.val_files": files.get("val"),
        "data.train_batch_size": training.batch_size,
        "data.use_dynamic_bsz": True,
        "data.max_length": training.max_length,
        "data.max_token_len_per_gpu": max(int(training.max_tokens), int(training.max_length)),
        "data.custom_cls.path": "pkg://medical_rl.engine.verl.dataset",
        "data.custom_cls.name": "CachedSFTDataset",
        "data.num_workers": config.data.dataloader_num_workers,
        "model.path": model,
        "model.use_remove_padding": remove_padding,
        "+model.override_config.attn_implementation": implementation,
        "model.enable_gradient_checkpointing": config.actor_rollout_ref.model.enable_gradient_checkpointing,
        "model.lora_rank": conf.model.lora_rank,
        "model.lora_alpha": conf.model.lora_alpha,
        "model.exclude_modules": conf.model.lora_exclude,
        "engine.strategy": "fsdp2",
        "+engine.mixed_precision": precision,
        "engine.use_torch_compile": conf.engine.device != "cpu",
        "engine.seed": conf.seed,
        "optim.lr": training.lr,
        "optim.lr_warmup_steps_ratio": training.lr_warmup_ratio,
        "optim.lr_scheduler_type": training.lr_schedule,
        "checkpoint.save_contents": "[model,optimizer,extra,hf_model]",
        "trainer.default_local_dir": checkpoints,
        "trainer.project_name": config.trainer.project_name,
        "trainer.experiment_name": f"{conf.recipe}-{stage}",
        "trainer.logger": "[" + ",".join(config.trainer.logger) + "]",
        "trainer.total_epochs": epochs,
        "trainer.total_training_steps": steps,
        "trainer.seed": conf.seed,
        "trainer.save_freq": often,
        "trainer.test_freq": often,
        "trainer.max_ckpt_to_keep": 1,
        "trainer.device": conf.engine.device,
        "trainer.n_gpus_per_node": conf.engine.ranks,
    }
    return [f"{name}={_quote(value)}" for name, value in values.items()], notes


def _quote(value) -> str:
    """A value as Hydra's override grammar wants it."""
    if value is None:
        return "null"
    text = str(value)
    if isinstance(value, bool):
        return text.lower()
    if isinstance(value, int | float) or text.startswith(("[", "{")):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
