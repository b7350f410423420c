"""What a stage depends on: the part of the configuration it reads, flat, so that a change can be named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.config.settings import flatten

# What each stage reads. A stage that is not here reads everything.
READS = {
    "prepare": ("conf.data", "conf.prompt", "conf.knowledge", "conf.seed", "conf.model.path", "conf.model.build", "conf.model.min_pixels", "conf.model.max_pixels", "data.train_batch_size", "conf.reward_training.synonyms", "conf.warm_start.also"),
    "retrieve": ("conf.retriever", "conf.calibration", "conf.alignment.enabled", "conf.alignment.share", "conf.labeller.kind", "conf.seed", "conf.pseudo_label", "conf.evaluation.split"),
    "calibrate": ("conf.calibration", "conf.labeller", "conf.alignment.enabled", "conf.alignment.share", "conf.pseudo_label.path", "conf.seed", "conf.model", "conf.engine"),
    "align": ("conf.alignment", "conf.calibration", "conf.labeller", "conf.pseudo_label.path", "conf.prompt", "conf.seed", "conf.model", "conf.engine"),
    "pseudo_label": ("conf.pseudo_label", "conf.judge.endpoint.model", "conf.labeller", "conf.calibration", "conf.alignment.enabled", "conf.alignment.share", "conf.warm_start.source", "conf.evaluation.split", "conf.prompt", "conf.seed", "conf.model", "conf.engine"),
    "warm_start": ("conf.warm_start", "conf.model", "conf.seed", "conf.engine"),
    **dict.fromkeys(("sft", "localize_sft"), ("conf.sft", "conf.model", "conf.seed", "conf.engine")),
    "evaluate": ("conf.evaluation", "conf.engine.dtype", "conf.model", "conf.prompt.frame"),
    "reward_model": ("conf.reward_training", "conf.seed", "conf.prompt", "conf.model", "conf.engine"),
    "generate": ("conf.generator", "conf.loop.distil", "conf.seed", "conf.prompt", "conf.reward_training.rows"),
    "score": ("conf.prompt", "conf.model"),
    "select": ("conf.loop.filter", "conf.loop.allow_overlap", "conf.loop.seed_rows", "conf.seed", "conf.prompt"),
    "preferences": ("conf.loop.preferences", "conf.seed", "conf.prompt", "conf.model", "conf.engine"),
    "distil": ("conf.generator", "conf.warm_start", "conf.seed", "conf.engine"),
    "best": (),
}  # fmt: skip
# What may change without making a result another one: places, names, pace and how often to look.
IGNORED = (
    "conf.run_dir", "conf.dry_run", "conf.stages", "conf.scale", "conf.recipe", "conf.max_ckpt_to_keep", "conf.evaluation", "conf.warm_start",
    "conf.engine.poll_interval_s", "conf.engine.stall_timeout_s", "conf.engine.threads", "conf.engine.kv_cache_gib",
    "conf.engine.gpu_memory_utilization", "conf.data", "conf.prompt", "conf.knowledge", "hydra", "ray_kwargs", "global_profiler", "transfer_queue",
    "trainer.logger", "trainer.project_name", "trainer.experiment_name", "trainer.save_freq", "trainer.test_freq",
    "trainer.default_local_dir", "trainer.rollout_data_dir", "trainer.validation_data_dir", "trainer.max_actor_ckpt_to_keep",
    "data.overlong_report", "data.train_files", "data.val_files", "actor_rollout_ref.model.path",
    "trainer.v1.sampler.sampler_kwargs.poll_interval",
    "conf.judge.limits", "conf.judge.budget", "conf.judge.on_met", "conf.judge.cache", "conf.judge.mode", "conf.judge.max_attempts",
    "conf.judge.backoff_s", "conf.judge.endpoint.timeout_s", "conf.judge.endpoint.prices",
    "conf.judge.endpoint.base_url", "conf.judge.endpoint.api_key_env", "conf.judge.endpoint.local", "conf.judge.endpoint.covered",
    "conf.ablation", "conf.arm", "conf.localize", "conf.stages_of", "conf.sft",
    "conf.loop", "conf.generator", "conf.reward_training", "conf.retriever", "conf.calibration", "conf.labeller", "conf.alignment", "conf.pseudo_label", "conf.reward_model.serve", "conf.reward_model.base_url", "conf.reward_model.timeout_s", "conf.reward_model.max_attempts", "conf.reward_model.concurrency",
    "conf.rewards.max_failure_rate",
)  # fmt: skip
# Of what a stage reads, what decides how fast it is and nothing else.
PACE = (
    "conf.data.num_proc", "conf.retriever.batch_size", "conf.retriever.device", "conf.labeller.batch", "conf.labeller.gpus", "conf.labeller.max_failed",
    *(f"conf.labeller.service.{name}" for name in ("limits", "budget", "on_met", "cache", "mode", "max_attempts", "backoff_s")),
    *(f"conf.labeller.service.endpoint.{name}" for name in ("timeout_s", "prices", "base_url", "api_key_env", "local", "covered")),
)  # fmt: skip
# A done stage may be taken further when these alone grew.
GROWS = ("trainer.total_training_steps", "trainer.total_epochs")


def _under(name: str, prefixes) -> bool:
    return any(name == p or name.startswith(p + ".") for p in prefixes)


def stage_config(config: DictConfig, stage: str) -> dict[str, object]:
    """The flat settings that `stage` (round_1/rl counts as rl) depends on, run folder written as $RUN."""
    base = stage.rsplit("/", 1)[-1]
    flat = flatten(OmegaConf.to_container(config, resolve=True))
    if base in READS:
        kept = {k: v for k, v in flat.items() if _under(k, READS[base]) and not _under(k, PACE)}
        kept = {
            k: v
            for k, v in kept.items()
            if not k.startswith("conf.engine.")
            or k
            in (
                "conf.engine.ranks",
                "conf.engine.device",
                "conf.engine.dtype",
                "conf.engine.precision",
                "conf.engine.attention",
            )
        }
    else:
        kept = {k: v for k, v in flat.items() if not _under(k, IGNORED)} | _users_files(flat)
    run = str(config.conf.run_dir)
    return {k: v.replace(run, "$RUN") if isinstance(v, str) else v for k, v in sorted(kept.items())}


def _users_files(flat: Mapping[str, object]) -> dict[str, object]:
    """{"<term>.fn sha256": hash} of reward functions in files of the user's, so that an edited one is another reward."""
    found = {}
    for name, value in flat.items():
        path = Path(str(value).rpartition(":")[0]).expanduser()
        if (
            name.startswith("conf.rewards.terms.")
            and name.endswith(".fn")
            and path.suffix == ".py"
            and path.is_file()
        ):
            found[f"{name} sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def fingerprint(settings: Mapping, inputs: Mapping) -> str:
    """SHA-256 of a stage's settings and its inputs' hashes."""
    return hashlib.sha256(json.dumps([settings, inputs], sort_keys=True, default=str).encode()).hexdigest()


def changes(old: Mapping, new: Mapping) -> list[str]:
    """One line for each setting that differs.

    >>> changes({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
    ['b: 2 -> 3', 'c: (none) -> 4']
    """
    absent = "(none)"
    names = sorted({*old, *new})
    return [
        f"{n}: {old.get(n, absent)} -> {new.get(n, absent)}"
        for n in names
        if old.get(n, absent) != new.get(n, absent)
    ]


def only_grew(old: Mapping, new: Mapping) -> bool:
    """True if the sole difference is that steps or epochs (GROWS) became more."""
    differing = [n for n in {*old, *new} if old.get(n) != new.get(n)]
    return bool(differing) and all(n in GROWS and (old.get(n) or 0) < (new.get(n) or 0) for n in differing)
