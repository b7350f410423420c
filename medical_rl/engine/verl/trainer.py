"""verl's synchronous PPO trainer with reward components in metrics and rollouts, and the best checkpoint kept.

It stays in verl's mode "sync" and is not registered under a name of its own: any other mode
switches verl to asynchronous behaviour.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import transfer_queue as tq
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from medical_rl.engine.verl.advantages import group_of, put_back, set_apart, write_gdpo, write_totals
from medical_rl.rewards.failures import FailureLog, Watch
from medical_rl.rewards.mix import Mix
from medical_rl.run.files import link_or_copy


def component_metrics(mix: Mix, results: list[Mapping[str, float]]) -> dict[str, float]:
    """`reward/<term>/{mean,weighted,failed}`, `reward/accuracy` and `reward/total`, averaged over samples.

    The mean and the weighted mean of a term leave its failed samples out; `failed` is their share.
    """
    metrics = {}
    for name in mix.weights:
        scored = [r for r in results if not r[f"{name}/failed"]]
        metrics[f"reward/{name}/failed"] = float(np.mean([r[f"{name}/failed"] for r in results]))
        if scored:
            metrics[f"reward/{name}/mean"] = float(np.mean([r[name] for r in scored]))
            metrics[f"reward/{name}/weighted"] = float(np.mean([r[f"{name}/weighted"] for r in scored]))
    metrics["reward/accuracy"] = float(np.mean([r["acc"] for r in results]))
    metrics["reward/total"] = float(np.mean([r["score"] for r in results]))
    return metrics


class MedicalTrainer(PPOTrainerSync):
    """PPOTrainerSync that sees every reward component and keeps the best checkpoint by validation."""

    def __init__(self, config):
        super().__init__(config)
        self.mix = Mix.from_config(config.conf.rewards)
        judge = config.conf.get("judge") or {}
        self.watch = Watch(self.mix, FailureLog.of_run(config.conf.run_dir), judge.get("on_met", "pause"))
        self.totals: dict[str, float] = {}  # of the step's trajectories, failed terms mended

    def _reward_results(self, batch, keys=None) -> list[dict]:
        """The reward manager's components of `keys` (default: the batch's real, unpadded trajectories)."""
        if keys is None:
            keys = [
                k for k, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)
            ]
        data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=["extra_fields"])
        fields = [getattr(field, "data", field) for field in data["extra_fields"]]
        return [field.get("reward_extra_info", {}) for field in fields]

    def _compute_advantage(self, batch, metrics):
        keys = [k for k, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)]
        results = self._reward_results(batch, keys)
        self.watch.see(results)
        groups = [group_of(key) for key in keys]
        mended = self.mix.with_group_means(results, groups)
        dropped = [key for key, lost in zip(keys, self.mix.dropped(results, groups), strict=True) if lost]
        self.totals = {key: r["score"] for key, r in zip(keys, mended, strict=True) if key not in dropped}
        if any(r["score"] != m["score"] for r, m in zip(results, mended, strict=True)) or dropped:
            write_totals(keys, batch.partition_id, [self.totals.get(key, 0.0) for key in keys])
        apart = set_apart(dropped, batch.partition_id)
        algorithm = self.config.algorithm
        per_term = algorithm.adv_estimator == "gdpo"
        try:
            # verl's v1 step does not hand GDPO the terms and stops; ours replaces GRPO's advantages below
            algorithm.adv_estimator = "grpo" if per_term else algorithm.adv_estimator
            batch = super()._compute_advantage(batch, metrics)
        finally:
            algorithm.adv_estimator = "gdpo" if per_term else algorithm.adv_estimator
            put_back(apart, batch.partition_id)
        if per_term:
            write_gdpo(keys, batch.partition_id, mended, self.mix.weights, algorithm, dropped)
        return batch

    def _compute_metrics(self, batch, metrics, timing_raw, global_steps, epoch):
        super()._compute_metrics(batch, metrics, timing_raw, global_steps=global_steps, epoch=epoch)
        metrics.update(component_metrics(self.mix, self._reward_results(batch)))
        if self.totals:
            metrics["reward/total"] = float(np.mean(list(self.totals.values())))

    def _log_rollout_data(self, batch, timing_raw, rollout_data_dir):
        order = sorted(range(len(batch.keys)), key=lambda i: _rollout_order(batch.keys[i]))
        results = self._reward_results(batch, keys=[batch.keys[i] for i in order])
        components = {k: [r.get(k) for r in results] for k in self.mix.keys if k != "score"}
        self._rollout_components = components | {"advantage": self._advantages(batch, order)}
        super()._log_rollout_data(batch, timing_raw, rollout_data_dir)

    def _advantages(self, batch, order: list[int]) -> list[float]:
        """The advantage of each trajectory at its first token, in the rollout file's order."""
        keys = [batch.keys[i] for i in order]
        data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=["advantages"])
        return [float(row[0]) if len(row) else 0.0 for row in data["advantages"].unbind()]

    def _dump_generations(self, inputs, outputs, gts, scores, reward_extra_infos_dict, dump_path):
        components = getattr(self, "_rollout_components", None) or {}
        self._rollout_components = None
        super()._dump_generations(
            inputs, outputs, gts, scores, reward_extra_infos_dict | components, dump_path
        )

    def _validate(self):
        metrics = super()._validate()
        self.watch.see_means(metrics)
        name = str(self.config.conf.validation.metric)
        values = [
            v
            for k, v in metrics.items()
            if k.startswith("val-") and k.split("/")[2:3] == [name] and "mean@" in k
        ]
        if values:
            metrics["validation/score"] = float(np.mean(values))
            keep_best(
                Path(self.config.trainer.default_local_dir),
                self.global_steps,
                metrics["validation/score"],
                name,
            )
        return metrics


def _rollout_order(key: str):
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
    best = json.loads(record.read_text()) if record.exists() else None
    if not source.is_dir() or not any(source.glob("*.safetensors")) or (best and best["score"] > score):
        return False
    scratch, target, old = checkpoints / ".best.new", checkpoints / "best", checkpoints / ".best.old"
    for leftover in (scratch, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(source, scratch, copy_function=link_or_copy)
    if target.exists():
        target.rename(old)
    scratch.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    text = json.dumps({"step": step, "score": score, "metric": metric})
    (checkpoints / ".best.json.tmp").write_text(text)
    (checkpoints / ".best.json.tmp").replace(record)
    return True
