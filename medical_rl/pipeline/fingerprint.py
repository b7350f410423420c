"""What a stage depends on: the settings it declares to read, flat, so that a change can be named."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medical_rl.config.settings import flatten
from medical_rl.stages import declared

# Of the settings of a language model's client, what changes no result.
NEUTRAL_OF_CLIENT = (
    "limits", "budget", "on_budget", "cache", "mode", "max_attempts", "backoff_s", "endpoint.timeout_s",
    "endpoint.prices", "endpoint.base_url", "endpoint.api_key_env", "endpoint.local", "endpoint.covered",
)  # fmt: skip
# Of what stages read, what changes no result: names, places, pace, and how often to look.
NEUTRAL = (
    "data.overlong_report", "data.train_files", "data.val_files", "actor_rollout_ref.model.path",
    "trainer.logger", "trainer.project_name", "trainer.experiment_name", "trainer.save_freq",
    "trainer.test_freq", "trainer.default_local_dir", "trainer.rollout_data_dir",
    "trainer.validation_data_dir", "trainer.max_actor_ckpt_to_keep",
    "trainer.v1.sampler.sampler_kwargs.poll_interval",
    "conf.data.num_proc", "conf.rewards.max_failure_rate", "conf.retriever.batch_size",
    "conf.retriever.device", "conf.labeller.batch", "conf.labeller.gpus", "conf.labeller.max_failed",
    "conf.reward_model.serve", "conf.reward_model.base_url", "conf.reward_model.timeout_s",
    "conf.reward_model.max_attempts", "conf.reward_model.concurrency",
    *(f"{client}.{name}" for client in ("conf.judge", "conf.labeller.service") for name in NEUTRAL_OF_CLIENT),
)  # fmt: skip
# A done stage may be taken further when these alone grew.
GROWS = ("trainer.total_training_steps", "trainer.total_epochs")


def _below(name: str, prefixes: Iterable[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def stage_config(config: DictConfig, stage: str) -> dict[str, object]:
    """The flat settings that `stage` (round_1/rl counts as rl) depends on, the run folder as $RUN.

    They are those of its `reads` that are not NEUTRAL, and the content of reward functions in files of the
    user's.
    """
    reads = declared(stage).reads
    flat = flatten(OmegaConf.to_container(config, resolve=True))
    settings = {}
    for name, value in flat.items():
        if _below(name, reads) and not _below(name, NEUTRAL):
            settings[name] = value
            settings |= _users_file(name, value)
    run = str(config.conf.run_dir)
    return {
        name: value.replace(run, "$RUN") if isinstance(value, str) else value
        for name, value in sorted(settings.items())
    }


def _users_file(name: str, value) -> dict[str, str]:
    """The {"<term>.fn sha256": hash} of a setting that names a reward function in a file, else {}.

    An edited function is another reward.
    """
    path = Path(str(value).rpartition(":")[0]).expanduser()
    is_function = name.startswith("conf.rewards.terms.") and name.endswith(".fn")
    if not (is_function and path.suffix == ".py" and path.is_file()):
        return {}
    return {f"{name} sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def fingerprint(settings: Mapping, inputs: Mapping) -> str:
    """The SHA-256 of a stage's settings and its inputs' hashes."""
    return hashlib.sha256(json.dumps([settings, inputs], sort_keys=True, default=str).encode()).hexdigest()


def changes(old: Mapping, new: Mapping) -> list[str]:
    """The settings that differ, a line each.

    >>> changes({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
    ['b: 2 -> 3', 'c: (none) -> 4']
    """
    lines = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name, "(none)"), new.get(name, "(none)")
        if before != after:
            lines.append(f"{name}: {before} -> {after}")
    return lines


def only_grew(old: Mapping, new: Mapping) -> bool:
    """True if the sole difference is that steps or epochs (GROWS) became more."""
    differing = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
    grew = [name in GROWS and (old.get(name) or 0) < (new.get(name) or 0) for name in differing]
    return bool(grew) and all(grew)
