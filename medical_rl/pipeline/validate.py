"""What is checked before anything heavy starts: settings that could not work, each with what to write instead."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from medical_rl.config.settings import refuse_secrets
from medical_rl.errors import UserError, unknown
from medical_rl.judges.build import checked
from medical_rl.loop.check import check_loop
from medical_rl.pseudo_label.settings import check_labels
from medical_rl.rewards.mix import Mix
from medical_rl.rewards.services import endpoints
from medical_rl.stages import SUPERVISED, reinforces

SERVED = ("rewards", "judge", "reward_model")

# verl's schema still has these at its top level, and verl 0.9.1 ignores or silently moves them.
LEGACY = {
    "custom_reward_function": "reward.custom_reward_function, or a term of conf/rewards",
    "reward_model": "reward.reward_model (reward.num_workers, reward.reward_manager)",
    "sandbox_fusion": "reward.sandbox_fusion",
}


def check_config(config: DictConfig) -> None:
    """None; UserError for settings that could not work, each with what to write instead."""
    _check_arm(config)
    missing = sorted(OmegaConf.missing_keys(config.conf))
    if missing:
        raise UserError(
            f"These settings must be given: {', '.join('conf.' + m.removeprefix('conf.') for m in missing)}."
        )
    refuse_secrets(config)
    _check_legacy(config)
    conf = {
        name: OmegaConf.to_container(config.conf[name], resolve=True)
        for name in SERVED
        if config.conf.get(name)
    }
    mix = Mix.from_config(conf["rewards"])
    checked(conf.get("judge"))
    if reinforces(config.conf.stages):
        endpoints(mix, conf)
    if "loop" in config.conf.stages and config.conf.get("loop"):
        parts = ("loop", "generator", "reward_training")
        check_loop(*(OmegaConf.to_container(config.conf[name], resolve=True) for name in parts))
    if config.conf.get("pseudo_label"):
        parts = ("stages", "retriever", "calibration", "labeller", "pseudo_label", "judge")
        whole = OmegaConf.to_container(config.conf, resolve=True)
        check_labels({name: whole[name] for name in parts})
    from medical_rl.pipeline.run import planned

    planned(config)
    if "evaluate" in config.conf.stages:
        _check_evaluation(config)
    if OmegaConf.select(config, "actor_rollout_ref.actor.freeze_vision_tower"):
        raise UserError(
            "actor_rollout_ref.actor.freeze_vision_tower is declared by verl 0.9.1 and never read, so it would change nothing. "
            "To leave the vision tower as it is, train LoRA on the language model: conf.model.lora_rank=16."
        )
    batch, mini = int(config.data.train_batch_size), int(config.actor_rollout_ref.actor.ppo_mini_batch_size)
    if batch % mini:
        raise UserError(
            f"data.train_batch_size={batch} is no multiple of actor_rollout_ref.actor.ppo_mini_batch_size={mini}: choose one that divides it."
        )
    _check_ranks(config)
    _check_estimator(config)
    filtering = config.algorithm.get("filter_groups")
    if filtering and filtering.enable and not filtering.metric:
        raise UserError(
            "algorithm.filter_groups.enable=true needs algorithm.filter_groups.metric, for instance reward or acc."
        )
    if config.trainer.save_freq <= 0 or config.trainer.test_freq <= 0:
        raise UserError(
            "trainer.save_freq and trainer.test_freq must be positive: the best checkpoint is chosen by validation among the saved steps."
        )
    if config.conf.validation.metric not in ("acc", "reward"):
        raise UserError(
            f"conf.validation.metric={config.conf.validation.metric} is unknown. Available: acc, reward."
        )


def _check_arm(config: DictConfig) -> None:
    """None; UserError for an arm (conf.arm, conf.localize.by) that the recipe has no stages for, or stages without their settings."""
    for name in ("arm", "localize.by"):
        chosen = OmegaConf.select(config.conf, name)
        if chosen is not None and chosen not in config.conf.stages_of:
            raise unknown(f"conf.{name}", str(chosen), config.conf.stages_of)
    if set(SUPERVISED) & set(config.conf.stages) and not config.conf.get("sft"):
        raise UserError(
            "conf.stages has a supervised arm, and this recipe has no conf/sft. conf=vrft_aug has one."
        )


def _check_estimator(config: DictConfig) -> None:
    """None; UserError for estimators under which a dropped sample or GDPO's terms would not mean what they say."""
    estimator, in_reward = str(config.algorithm.adv_estimator), bool(config.algorithm.use_kl_in_reward)
    dropping = config.conf.rewards.get("on_failure") == "drop_sample"
    if dropping and (estimator not in ("grpo", "rloo", "gdpo") or in_reward):
        raise UserError(
            f"conf.rewards.on_failure=drop_sample works with grpo, rloo and gdpo without algorithm.use_kl_in_reward, not with {estimator}"
            f"{' and the KL in the reward' if in_reward else ''}. Use conf.rewards.on_failure=group_mean."
        )
    if estimator == "gdpo" and in_reward:
        raise UserError(
            "conf/algorithm=gdpo makes advantages of the reward terms alone, so algorithm.use_kl_in_reward would be lost. "
            "Use the KL as a loss: actor_rollout_ref.actor.use_kl_loss=true."
        )


def _check_evaluation(config: DictConfig) -> None:
    """None; UserError for a further test set that cannot be composed or a further model whose folder is not there."""
    from medical_rl.stages.common.eval_sets import further_sets
    from medical_rl.stages.common.models import is_local, resolve_model

    further_sets(config)
    for model in config.conf.evaluation.get("models") or ():
        if is_local(str(model)):
            resolve_model(str(model), setting="conf.evaluation.models")


def _check_legacy(config: DictConfig) -> None:
    for name, instead in LEGACY.items():
        node = config.get(name)
        if node is None:
            continue
        flat = _leaves(OmegaConf.to_container(node, resolve=False))
        if any(v is not None for v in flat):
            raise UserError(
                f"The top-level {name}.* of verl is no longer read by its trainer. Use {instead} instead."
            )


def _leaves(value) -> list:
    if isinstance(value, dict):
        return [leaf for v in value.values() for leaf in _leaves(v)]
    return [value]


def check_hardware(config: DictConfig) -> None:
    """None; UserError if the engine asks for more GPUs than this host shows."""
    from medical_rl.config.hardware import count_gpus

    engine = config.conf.engine
    if engine.device != "cpu" and engine.name != "multi_node" and count_gpus() < int(engine.ranks):
        raise UserError(
            f"conf/engine={engine.name} asks for {engine.ranks} GPUs and {count_gpus()} are visible here. "
            "Lower conf.engine.ranks, or run at a tiny scale without a GPU: conf/scale=tiny conf/engine=cpu."
        )


def _check_ranks(config: DictConfig) -> None:
    """None; UserError where a batch cannot be divided among the ranks (verl would assert it after minutes)."""
    ranks = int(config.conf.engine.ranks) * int(config.trainer.nnodes)
    mini = int(config.actor_rollout_ref.actor.ppo_mini_batch_size) * int(config.actor_rollout_ref.rollout.n)
    batches = {"actor_rollout_ref.actor.ppo_mini_batch_size x actor_rollout_ref.rollout.n": mini}
    if config.conf.warm_start.enabled:
        batches["conf.warm_start.batch_size"] = int(config.conf.warm_start.batch_size)
    if set(SUPERVISED) & set(config.conf.stages):
        batches["conf.sft.batch_size"] = int(config.conf.sft.batch_size)
    for name, size in batches.items():
        if size % ranks:
            fitting = [str(r) for r in range(1, min(size, 64) + 1) if size % r == 0]
            raise UserError(
                f"{name} = {size} cannot be divided among {ranks} ranks. Numbers of ranks that can: {', '.join(fitting)}."
            )
