"""Refuse settings that could not work, before anything heavy starts."""

import re

from omegaconf import DictConfig, OmegaConf

from medical_rl.config.hardware import count_gpus
from medical_rl.config.settings import flatten, plain, refuse_secrets
from medical_rl.errors import UserError, check_known
from medical_rl.judges.judge import checked_settings
from medical_rl.loop.check import check_loop
from medical_rl.pseudo_label.settings import check_labels
from medical_rl.rewards.load import endpoints
from medical_rl.rewards.mix import Mix
from medical_rl.stages import LOOP, planned, reinforces, supervised_arms
from medical_rl.stages.common.further_sets import further_sets
from medical_rl.stages.common.models import is_local, ranks_for_batch, resolve_model

# verl's schema still has these at its top level, and verl 0.9.1 ignores or silently moves them.
LEGACY = {
    "custom_reward_function": "reward.custom_reward_function, or a term of conf/rewards",
    "reward_model": "reward.reward_model (reward.num_workers, reward.reward_manager)",
    "sandbox_fusion": "reward.sandbox_fusion",
}


def check_config(config: DictConfig) -> None:
    """Raise UserError for settings that could not work, each with what to write instead."""
    conf = config.conf
    _check_arms(config)
    missing = sorted(OmegaConf.missing_keys(conf))
    if missing:
        keys = [f"conf.{key.removeprefix('conf.')}" for key in missing]
        raise UserError(f"These settings must be given: {', '.join(keys)}.")
    refuse_secrets(config)
    _check_legacy(config)
    _check_rewards(conf)
    if LOOP in conf.stages and conf.get("loop"):
        check_loop(plain(conf.get("loop")), plain(conf.get("generator")), plain(conf.get("reward_training")))
    if conf.get("pseudo_label"):
        groups = ("stages", "retriever", "calibration", "labeller", "alignment", "pseudo_label", "judge")
        check_labels({name: plain(conf.get(name)) for name in groups})
    planned(conf)
    if "evaluate" in conf.stages:
        further_sets(config)
        for model in filter(is_local, map(str, conf.evaluation.get("models") or ())):
            resolve_model(model, setting="conf.evaluation.models")
    _check_training(config)
    _check_ranks(config)
    _check_estimator(config)


def _check_arms(config: DictConfig) -> None:
    """Refuse an arm (conf.arm, conf.localize.by) without stages in the recipe, or without its settings."""
    for name in ("arm", "localize.by"):
        arm = OmegaConf.select(config.conf, name)
        if arm is not None:
            check_known(f"conf.{name}", str(arm), config.conf.stages_of)
    _refuse(
        supervised_arms(config.conf.stages) and not config.conf.get("sft"),
        "conf.stages has a supervised arm, and this recipe has no conf/sft. conf=vrft_aug has one.",
    )


def _check_legacy(config: DictConfig) -> None:
    """Refuse settings that verl's schema still has and its trainer no longer reads."""
    for name, instead in LEGACY.items():
        values = flatten(
            OmegaConf.to_container(config.get(name) or OmegaConf.create(), resolve=False)
        ).values()
        _refuse(
            any(value is not None and value != {} for value in values),
            f"The top-level {name}.* of verl is no longer read by its trainer. Use {instead} instead.",
        )


def _check_rewards(conf: DictConfig) -> None:
    """Refuse a mix or judge that cannot be built and, where a stage reinforces, a service not given."""
    groups = {name: plain(conf.get(name)) for name in ("rewards", "judge", "reward_model")}
    groups = {name: settings for name, settings in groups.items() if settings}
    mix = Mix.from_config(groups["rewards"])
    checked_settings(groups.get("judge"))
    if reinforces(conf.stages):
        endpoints(mix, groups)


def _check_training(config: DictConfig) -> None:
    """Refuse settings of verl that it would ignore, or under which no best step could be chosen."""
    batch = _whole(config, "data.train_batch_size")
    mini = _whole(config, "actor_rollout_ref.actor.ppo_mini_batch_size")
    frequencies = [_whole(config, f"trainer.{name}_freq") for name in ("save", "test")]
    filtering, metric = config.algorithm.get("filter_groups"), config.conf.validation.metric
    _refuse(
        OmegaConf.select(config, "actor_rollout_ref.actor.freeze_vision_tower"),
        "actor_rollout_ref.actor.freeze_vision_tower is declared by verl 0.9.1 and never read, so it would "
        "change nothing. To leave the vision tower as it is, train LoRA on the language model: "
        "conf.model.lora_rank=16.",
    )
    _refuse(
        mini < 1 or batch % mini,
        f"data.train_batch_size={batch} is no multiple of "
        f"actor_rollout_ref.actor.ppo_mini_batch_size={mini}: choose one that divides it.",
    )
    _refuse(
        filtering and filtering.enable and not filtering.metric,
        "algorithm.filter_groups.enable=true needs algorithm.filter_groups.metric, for instance reward or "
        "acc.",
    )
    _refuse(
        min(frequencies) <= 0,
        "trainer.save_freq and trainer.test_freq must be positive: the best checkpoint is chosen by "
        "validation among the saved steps.",
    )
    unknown_metric = f"conf.validation.metric={metric} is unknown. Available: acc, reward."
    _refuse(metric not in ("acc", "reward"), unknown_metric)


def _whole(config: DictConfig, key: str) -> int:
    """The whole number that the setting `key` holds. Raises UserError for anything else."""
    value = OmegaConf.select(config, key)
    if isinstance(value, bool) or not re.fullmatch(r"-?\d+", str(value)):
        raise UserError(f"{key}={value} is no whole number.")
    return int(value)


def _refuse(wrong, message: str) -> None:
    if wrong:
        raise UserError(message)


def _check_estimator(config: DictConfig) -> None:
    """Refuse estimators under which a dropped sample or GDPO's terms would not mean what they say."""
    estimator, in_reward = str(config.algorithm.adv_estimator), bool(config.algorithm.use_kl_in_reward)
    drops = config.conf.rewards.get("on_failure") == "drop_sample"
    _refuse(
        drops and (estimator not in ("grpo", "rloo", "gdpo") or in_reward),
        "conf.rewards.on_failure=drop_sample works with grpo, rloo and gdpo without "
        f"algorithm.use_kl_in_reward, not with {estimator}{' and the KL in the reward' if in_reward else ''}."
        " Use conf.rewards.on_failure=group_mean.",
    )
    _refuse(
        estimator == "gdpo" and in_reward,
        "conf/algorithm=gdpo makes advantages of the reward terms alone, so algorithm.use_kl_in_reward would "
        "be lost. Use the KL as a loss: actor_rollout_ref.actor.use_kl_loss=true.",
    )


def _check_ranks(config: DictConfig) -> None:
    """Refuse a batch that cannot be divided among the ranks (verl would assert it after minutes)."""
    conf = config.conf
    ranks = max(1, _whole(config, "conf.engine.ranks") * _whole(config, "trainer.nnodes"))
    mini = _whole(config, "actor_rollout_ref.actor.ppo_mini_batch_size")
    mini *= _whole(config, "actor_rollout_ref.rollout.n")
    batches = {"actor_rollout_ref.actor.ppo_mini_batch_size x actor_rollout_ref.rollout.n": mini}
    if conf.warm_start.enabled:
        batches["conf.warm_start.batch_size"] = _whole(config, "conf.warm_start.batch_size")
    if supervised_arms(conf.stages):
        batches["conf.sft.batch_size"] = _whole(config, "conf.sft.batch_size")
    for name, size in batches.items():
        if name.startswith("conf.") and ranks_for_batch(size, ranks) < ranks:
            continue  # supervised training takes fewer ranks and says so
        fitting = [str(number) for number in range(1, min(size, 64) + 1) if size % number == 0]
        _refuse(
            size % ranks,
            f"{name} = {size} cannot be divided among {ranks} ranks. Numbers of ranks that can: "
            f"{', '.join(fitting)}.",
        )


def check_hardware(config: DictConfig) -> None:
    """Raise UserError for an engine that asks for more GPUs than this host shows."""
    engine = config.conf.engine
    if engine.device != "cpu" and engine.name != "multi_node" and count_gpus() < int(engine.ranks):
        raise UserError(
            f"conf/engine={engine.name} asks for {engine.ranks} GPUs and {count_gpus()} are visible here. "
            "Lower conf.engine.ranks, or run at a tiny scale without a GPU: conf/scale=tiny conf/engine=cpu."
        )
