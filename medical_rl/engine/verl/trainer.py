"""verl's synchronous PPO trainer that sees reward components and keeps the best checkpoint.

It stays in verl's mode "sync" and is not registered under a name of its own: any other mode
switches verl to asynchronous behaviour. Beside it verl's replay buffer, with a polling interval of our own.
"""

import json
import math
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import transfer_queue as tq
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from medical_rl.engine.verl.advantages import (
    group_of,
    isolate,
    read_rows,
    restore_groups,
    write_gdpo,
    write_totals,
)  # fmt: skip
from medical_rl.engine.verl.agent_loop import IMAGES_DIFFER
from medical_rl.engine.verl.agreement import AgreementWatch, refuse_differing_images
from medical_rl.errors import StageFailed
from medical_rl.rewards.failures import FailureLog, FailureMonitor
from medical_rl.rewards.mix import Mix
from medical_rl.run.files import link_or_copy, replacing_folder, write_text

FORWARDED = (
    "poll_interval", "filter_groups_metric", "train_batch_size", "gen_batch_size", "max_inflight_gen_batches",
    "sync_refill_failed_groups",
)  # fmt: skip


SHOWN = 5  # prompts that a message names


class RolloutStalled(RuntimeError):
    """Rollouts that are waited for do not end."""


class PollingReplayBuffer(ReplayBuffer):
    """A ReplayBuffer whose constructor takes FORWARDED out of `sampler_kwargs`.

    verl sleeps `poll_interval` (2.0 s, never passed on from the configuration) between two looks
    at the rollouts: on a small model that is most of a step. With a custom sampler verl leaves out
    the settings of group filtering (DAPO) and of failed groups; `sampler_kwargs` carries them here,
    filled by settings.py from verl's own keys.
    """

    def __init__(self, *args, sampler_kwargs=None, **kwargs):
        for name in FORWARDED:
            if name in (sampler_kwargs or {}):
                kwargs[name] = sampler_kwargs[name]
        super().__init__(*args, sampler_kwargs=sampler_kwargs, **kwargs)
        self.stall_timeout_s = float((sampler_kwargs or {}).get("stall_timeout_s") or math.inf)
        self._state, self._moved = None, time.monotonic()

    def sample(self, global_steps: int, partition_id: str, batch_size: int):
        """verl's sample. Raises RuntimeError that names the prompts whose rollouts failed or never ended."""
        self._state = None
        try:
            return super().sample(global_steps, partition_id, batch_size)
        except RuntimeError as error:
            failed = self.failure_keys[partition_id]
            if not failed or isinstance(error, RolloutStalled):
                raise
            raise RuntimeError(f"{error} Rollouts failed of {self._named(partition_id, failed)}.") from error

    def _wait_for_next_poll(self, partition_id: str, last_debug_time: float) -> float:
        groups = (self.pending_keys, self.running_keys, self.finished_keys, self.failure_keys)
        state = [frozenset(keys[partition_id]) for keys in groups]
        state.append(len(self.partitions[partition_id]))  # trajectories
        if state != self._state:
            self._state, self._moved = state, time.monotonic()
        waited = time.monotonic() - self._moved
        if waited > self.stall_timeout_s:
            prompts = self._named(partition_id, state[0] | state[1])
            raise RolloutStalled(
                f"GRPO has waited {waited:.0f} s (conf.engine.stall_timeout_s) for the rollouts of {prompts}; "
                f"{len(state[2])} are finished, {len(state[3])} failed."
            )
        return super()._wait_for_next_poll(partition_id, last_debug_time)

    def _named(self, partition_id: str, uids: Collection[str]) -> str:
        """The prompts `uids` by the ids of their rows, the first SHOWN of them."""
        shown = sorted(uids)[:SHOWN]
        try:
            data = tq.kv_batch_get(keys=shown, partition_id=partition_id, select_fields=["extra_info"])
            names = [str(getattr(field, "data", field)["id"]) for field in data["extra_info"]]
        except Exception as error:  # the storage may be what failed: verl's own ids are told then
            names = [*shown, f"their rows cannot be read: {type(error).__name__}"]
        further = f" and {len(uids) - len(shown)} more" if len(uids) > len(shown) else ""
        return f"{len(uids)} prompts ({', '.join(names)}{further})"


def component_metrics(mix: Mix, results: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """`reward/<term>/{mean,weighted,failed}`, `reward/accuracy` and `reward/total`, averaged over samples.

    The mean and the weighted mean of a term leave its failed samples out; `failed` is their share.
    """

    def mean(key: str, without: str | None = None) -> float:
        return float(np.mean([result[key] for result in results if not (without and result[without])]))

    metrics = {}
    for name in mix.weights:
        failed = f"{name}/failed"
        metrics[f"reward/{failed}"] = mean(failed)
        if metrics[f"reward/{failed}"] < 1:
            metrics[f"reward/{name}/mean"] = mean(name, without=failed)
            metrics[f"reward/{name}/weighted"] = mean(f"{name}/weighted", without=failed)
    return metrics | {"reward/accuracy": mean("acc"), "reward/total": mean("score")}


class MedicalTrainer(PPOTrainerSync):
    """PPOTrainerSync that sees every reward component and keeps the best checkpoint by validation."""

    def __init__(self, config):
        super().__init__(config)
        self.mix = Mix.from_config(config.conf.rewards)
        judge = config.conf.get("judge") or {}
        failures = FailureLog.of_run(config.conf.run_dir)
        self.failure_monitor = FailureMonitor(self.mix, failures, judge.get("on_budget", "pause"))
        engine = config.conf.engine
        self.agreement = AgreementWatch(float(engine.agreement_at_least), int(engine.agreement_steps))
        self.totals: dict[str, float] = {}  # of the step's trajectories, failed terms mended
        self._rollout_components: dict[str, list] = {}

    def fit(self, agent_loop_manager) -> None:
        """Train to the last step. Raises StageFailed where verl ends before it (at trainer.total_epochs, say)."""
        super().fit(agent_loop_manager)
        reached = self.global_steps - 1
        if reached < self.total_training_steps and not self.config.trainer.get("val_only", False):
            raise StageFailed(
                f"GRPO ended at step {reached} of {self.total_training_steps}: it is not done. There are "
                f"{self.steps_per_epoch} steps in a pass over the rows, and trainer.total_epochs="
                f"{self.config.trainer.total_epochs} passes at most: raise it, or lower "
                "trainer.total_training_steps."
            )

    def _fields(self, batch, keys: Sequence[str], name: str) -> list[dict]:
        """A column of the trajectories `keys` that holds dicts."""
        data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=[name])
        return [getattr(field, "data", field) for field in data[name]]

    def _reward_results(self, batch, keys: Sequence[str]) -> list[dict]:
        """The reward manager's components of the trajectories `keys`."""
        return [field.get("reward_extra_info", {}) for field in self._fields(batch, keys, "extra_fields")]

    def _refuse_disagreement(self, batch, keys: Sequence[str], metrics: Mapping) -> None:
        """Raise StageFailed where rollout and trainer see different images or are different models."""
        fields = self._fields(batch, keys, "extra_fields")
        differing = {
            key: of[IMAGES_DIFFER] for key, of in zip(keys, fields, strict=True) if of.get(IMAGES_DIFFER)
        }
        if differing:
            facts = self._fields(batch, list(differing), "extra_info")
            rows = [str(of.get("id", of.get("index"))) for of in facts]
            refuse_differing_images(dict(zip(rows, differing.values(), strict=True)))
        self.agreement.check(metrics, self.global_steps)

    def _compute_advantage(self, batch, metrics):
        keys = _real_keys(batch)
        self._refuse_disagreement(batch, keys, metrics)
        results = self._reward_results(batch, keys)
        self.failure_monitor.check(results)
        groups = list(map(group_of, keys))
        mended = self.mix.with_group_means(results, groups)
        dropped, changed, self.totals = [], False, {}
        for key, lost, before, after in zip(
            keys, self.mix.dropped_samples(results, groups), results, mended, strict=True
        ):
            if lost:
                dropped.append(key)
            else:
                self.totals[key] = after["score"]
            changed |= lost or before["score"] != after["score"]
        if changed:
            write_totals(keys, batch.partition_id, [self.totals.get(key, 0.0) for key in keys])
        isolated = isolate(dropped, batch.partition_id)
        algorithm, estimator = self.config.algorithm, self.config.algorithm.adv_estimator
        try:
            if estimator == "gdpo":
                # verl's v1 step does not hand GDPO the terms and stops; ours replaces GRPO's advantages below
                algorithm.adv_estimator = "grpo"
            batch = super()._compute_advantage(batch, metrics)
        finally:
            algorithm.adv_estimator = estimator
            restore_groups(isolated, batch.partition_id)
        if estimator == "gdpo":
            write_gdpo(keys, batch.partition_id, mended, self.mix.weights, algorithm, dropped)
        return batch

    def _compute_metrics(self, batch, metrics, timing_raw, global_steps, epoch):
        super()._compute_metrics(batch, metrics, timing_raw, global_steps=global_steps, epoch=epoch)
        metrics.update(component_metrics(self.mix, self._reward_results(batch, _real_keys(batch))))
        if self.totals:
            metrics["reward/total"] = float(np.mean(list(self.totals.values())))

    def _log_rollout_data(self, batch, timing_raw, rollout_data_dir):
        keys = sorted(batch.keys, key=_rollout_order)
        results = self._reward_results(batch, keys)
        components: dict[str, list] = {}
        for name in self.mix.keys:
            if name != "score":
                components[name] = [result.get(name) for result in results]
        components["advantage"] = []
        for row in read_rows(keys, batch.partition_id, "advantages"):
            components["advantage"].append(float(row[0]) if len(row) else 0.0)  # at the first token
        self._rollout_components = components
        super()._log_rollout_data(batch, timing_raw, rollout_data_dir)

    def _dump_generations(self, inputs, outputs, gts, scores, reward_extra_infos_dict, dump_path):
        infos = reward_extra_infos_dict | self._rollout_components
        self._rollout_components = {}
        super()._dump_generations(inputs, outputs, gts, scores, infos, dump_path)

    def _validate(self):
        metrics = super()._validate()
        self.failure_monitor.check_validation(metrics)
        name = str(self.config.conf.validation.metric)
        values = []
        for key, value in metrics.items():
            if key.startswith("val-") and key.split("/")[2:3] == [name] and "mean@" in key:
                values.append(value)
        if values:
            score = metrics["validation/score"] = float(np.mean(values))
            keep_best(Path(self.config.trainer.default_local_dir), self.global_steps, score, name)
        return metrics


def _real_keys(batch) -> list[str]:
    """The keys of the batch's trajectories that are no padding."""
    return [key for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)]


def _rollout_order(key: str) -> tuple[str, int, int]:
    """verl's own order of a rollout file: by prompt, then by number within the group."""
    parts = key.rsplit("_", 2)
    return (parts[0], int(parts[1]), int(parts[2])) if len(parts) == 3 else (key, 0, 0)


def keep_best(checkpoints: Path, step: int, score: float, metric: str) -> bool:
    """True if step's checkpoint is the best by validation so far and was copied to `checkpoints`/best.

    A step without a saved checkpoint (the one before training, say) cannot be kept. Of two equal
    scores the later wins.
    """
    source = checkpoints / f"global_step_{step}" / "actor" / "huggingface"
    record = checkpoints / "best.json"
    if not any(source.glob("*.safetensors")):
        return False
    if record.exists() and json.loads(record.read_text())["score"] > score:
        return False
    with replacing_folder(checkpoints / "best") as scratch:
        shutil.copytree(source, scratch, copy_function=link_or_copy)
    write_text(record, json.dumps({"step": step, "score": score, "metric": metric}))
    return True
