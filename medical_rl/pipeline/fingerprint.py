"""What a stage depends on, flat, so that a change can be named; what is outdated goes to superseded/."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from omegaconf import DictConfig

from medical_rl.config.settings import flatten, plain
from medical_rl.run.files import write_text
from medical_rl.run.folder import RunFolder
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
    "trainer.v1.sampler.sampler_kwargs.poll_interval", "trainer.v1.sampler.sampler_kwargs.stall_timeout_s",
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

    They are those of its `reads` that are not NEUTRAL, and the content of the user's reward functions.
    """
    reads, settings = declared(stage).reads, {}
    for name, value in flatten(plain(config)).items():
        if _below(name, reads) and not _below(name, NEUTRAL):
            settings[name] = value
            file = Path(str(value).rpartition(":")[0]).expanduser()
            is_function = name.startswith("conf.rewards.terms.") and name.endswith(".fn")
            if is_function and file.suffix == ".py" and file.is_file():  # edited, it is another reward
                settings[f"{name} sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    run = str(config.conf.run_dir)
    return {
        name: value.replace(run, "$RUN") if isinstance(value, str) else value
        for name, value in sorted(settings.items())
    }


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


def supersede(folder: RunFolder, stage: str) -> Path | None:
    """Move what an outdated run of `stage` left to a folder and return it; None if nothing was there.

    Checkpoints, rollouts, TensorBoard files and the stage's lines of metrics.jsonl are moved, so that nothing
    old is taken for progress of the new run, and nothing that cost time is deleted.
    """
    places = [f"checkpoints/{stage}", f"rollouts/{stage}", f"tensorboard/{stage}"]
    if declared(stage).trains == "reinforced":
        places.append(str(Path("rollouts", stage).with_name("validation")))
    present = [place for place in places if (folder.path / place).exists()]
    mark = f'{{"stage": {json.dumps(stage)},'  # how the engine's tracking begins a line
    own, others = [], []
    file = folder.metrics_file
    for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else ():
        (own if line.startswith(mark) else others).append(line)
    if not present and not own:
        return None
    goal = folder.path / "superseded" / f"{stage.replace('/', '.')}.{time.strftime('%Y%m%d-%H%M%S')}"
    for place in present:
        (goal / place).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / place).rename(goal / place)
    if own:
        goal.mkdir(parents=True, exist_ok=True)
        (goal / "metrics.jsonl").write_text("".join(own), encoding="utf-8")
        write_text(folder.metrics_file, "".join(others))
    return goal
