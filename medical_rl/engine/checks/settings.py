"""The run's settings given to verl's own validation, before anything heavy starts.

    python -m medical_rl.engine.checks.settings REQUEST.json

verl builds most of its configuration without looking at types, so that `optim.lr=fast` is met after minutes;
its dataclasses say what each key is to hold, and its default file says it of the rest.
"""

import importlib
import importlib.util
import json
import math
import re
import sys
import traceback
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, POLICY_LOSS_REGISTRY
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import omega_conf_to_dataclass, validate_config
from verl.utils.tracking import Tracking

import medical_rl.engine.verl.plugin  # noqa: F401, I001  before any other part of verl
from medical_rl.config.compose import verl_config_folder
from medical_rl.engine.verl.settings import rl_config, sft_overrides
from medical_rl.errors import unknown
from medical_rl.run.files import write_json

POLICY = "actor_rollout_ref"
# Parts that verl makes dataclasses of; `critic` and `ref` only where there is one.
PARTS = ("algorithm", f"{POLICY}.actor", f"{POLICY}.rollout", f"{POLICY}.model")
# Parts whose types stand in verl's default files alone, and keys that are null there.
PLAIN = {"trainer": "ppo_trainer.yaml", "data": "data/legacy_data.yaml"}
WHOLE = (
    "trainer.total_training_steps", "trainer.max_actor_ckpt_to_keep", "trainer.max_critic_ckpt_to_keep",
    "data.gen_batch_size", "data.val_batch_size", "data.min_pixels", "data.max_pixels", "reward.num_workers",
)  # fmt: skip
AT_LEAST = {
    "trainer.total_training_steps": 1, "trainer.total_epochs": 1, "trainer.nnodes": 1,
    "trainer.n_gpus_per_node": 1, "data.train_batch_size": 1, "data.max_prompt_length": 1,
    "data.max_response_length": 1, "reward.num_workers": 1, f"{POLICY}.model.lora_rank": 0,
    f"{POLICY}.actor.ppo_mini_batch_size": 1, f"{POLICY}.actor.ppo_epochs": 1, f"{POLICY}.actor.optim.lr": 0,
    f"{POLICY}.rollout.n": 1, f"{POLICY}.rollout.val_kwargs.n": 1, f"{POLICY}.rollout.temperature": 0.01,
    f"{POLICY}.rollout.tensor_model_parallel_size": 1, f"{POLICY}.rollout.agent.num_workers": 1,
}  # fmt: skip
AT_MOST = {
    f"{POLICY}.rollout.gpu_memory_utilization": 1, f"{POLICY}.rollout.top_p": 1,
    f"{POLICY}.rollout.val_kwargs.top_p": 1,
}  # fmt: skip
# Estimators that compare a response with the others to its prompt.
OF_GROUPS = ("grpo", "grpo_vectorized", "grpo_passk", "gdpo", "rloo", "rloo_vectorized", "opo")
KL = ("kl", "k1", "abs", "mse", "k2", "low_var_kl", "k3")
CHOICES = {
    "algorithm.adv_estimator": ADV_ESTIMATOR_REGISTRY,
    "algorithm.kl_penalty": KL,
    "algorithm.kl_ctrl.type": ("fixed", "adaptive"),
    f"{POLICY}.actor.policy_loss.loss_mode": POLICY_LOSS_REGISTRY,
    f"{POLICY}.actor.kl_loss_type": (*KL, *(f"{name}+" for name in KL)),
    f"{POLICY}.actor.optim.lr_scheduler_type": ("constant", "cosine"),
    f"{POLICY}.rollout.name": ("vllm",),
    f"{POLICY}.rollout.dtype": ("auto", "bfloat16", "float16", "float32", "half", "float"),
    "trainer.resume_mode": ("auto", "disable", "resume_path"),
}
AGREEMENT = {"conf.engine.agreement_at_least": {int, float}, "conf.engine.agreement_steps": {int}}
# {tracker: the package that it needs}
TRACKERS = {
    "clearml": "clearml", "mlflow": "mlflow", "swanlab": "swanlab", "tensorboard": "tensorboard",
    "trackio": "trackio", "vemlp_wandb": "volcengine_ml_platform", "wandb": "wandb",
}  # fmt: skip
# Settings of supervised training, conf.warm_start and conf.sft; the least value of each number.
SUPERVISED = {"batch_size": int, "epochs": int, "steps": int, "limit": int, "max_length": int, "max_tokens": int,
              "lr": float, "lr_warmup_ratio": float}  # fmt: skip
NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def has_type(value: object, kinds: Collection) -> bool:
    """True if `value` may stand where one of the plain types `kinds` is expected; null always may.

    >>> has_type("fast", {float}), has_type(1, {float}), has_type(2.0, {int}), has_type(True, {int})
    (False, True, False, False)
    """
    if value is None or not kinds or str in kinds:
        return True
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, float):
        return float in kinds and math.isfinite(value)
    return isinstance(value, int) and bool({int, float} & set(kinds))


def plain_types(hint: object) -> set[type]:
    """The plain types of an annotation, {} where it is of another kind: Optional[int] gives {int}."""
    members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    named = set(members) - {type(None)}
    return named if named and named <= set(NAMES) else set()


def setting(node: DictConfig, name: str, path: str) -> str:
    """What the user sets: the key `path`, or the one from which its value is taken."""
    raw = OmegaConf.to_container(node, resolve=False)[name]
    source = re.fullmatch(r"\$\{(?:oc\.select:)?([\w.]+)(?:,.*)?\}", raw) if isinstance(raw, str) else None
    return source[1] if source else path


def wrong_types(node: DictConfig, path: str, expected: Callable[[str], set]) -> Iterator[str]:
    """A sentence for each value below `path` that has not the type its dataclass declares."""
    hints = {}
    if "_target_" in node:
        hints = typing.get_type_hints(get_class(node["_target_"]))
    for name in node:
        where = f"{path}.{name}"
        try:
            value = node[name]
        except OmegaConfBaseException as error:
            yield f"{where} cannot be read: {str(error).splitlines()[0]}"
            continue
        if isinstance(value, DictConfig):
            yield from wrong_types(value, where, expected)
            continue
        kinds = plain_types(hints[name]) if name in hints else expected(where)
        if not has_type(value, kinds):
            wanted = " or ".join(NAMES[kind] for kind in kinds if kind in NAMES)
            yield f"{setting(node, name, where)}={value}: it takes {wanted}."


def default_types() -> Callable[[str], set]:
    """A function from a key of PLAIN or WHOLE to the types it may have, by verl's own default files."""
    defaults = {}
    for part, file in PLAIN.items():
        content = OmegaConf.load(verl_config_folder() / file)
        defaults[part] = content.get(part, content)

    def expected(path: str) -> set:
        if path in WHOLE:
            return {int}
        part, _, key = path.partition(".")
        value = None
        if part in defaults:
            value = OmegaConf.to_container(defaults[part], resolve=False)
            for name in key.split("."):
                value = value.get(name) if isinstance(value, Mapping) else None
        return {type(value)} & {bool, int, float}

    return expected


def grpo_problems(config: DictConfig) -> list[str]:
    """What is wrong with the settings of GRPO: types first, then values, then verl's own validation."""
    expected, problems = default_types(), []
    parts = [*PARTS, *PLAIN]
    parts += ["critic"] if _answer(need_critic, config) else []
    parts += [f"{POLICY}.ref"] if _answer(need_reference_policy, config) else []
    for part in parts:
        problems += wrong_types(OmegaConf.select(config, part), part, expected)
    problems += wrong_types(OmegaConf.masked_copy(config.reward, "num_workers"), "reward", expected)
    watched = OmegaConf.masked_copy(config.conf.engine, ["agreement_at_least", "agreement_steps"])
    problems += wrong_types(watched, "conf.engine", AGREEMENT.__getitem__)
    problems = list(dict.fromkeys(problems))  # one setting may be the source of several
    return problems or [*_wrong_values(config), *_not_ours(config)] or _refused_by_verl(config)


def _answer(question: Callable, config: DictConfig) -> bool:
    """A question of verl's; True where the settings are too wrong for it to answer."""
    try:
        return question(config)
    except Exception:  # noqa: BLE001  whatever is wrong is looked for
        return True


def _wrong_values(config: DictConfig) -> Iterator[str]:
    for path, bound in (AT_LEAST | AT_MOST).items():
        value = OmegaConf.select(config, path)
        least = path in AT_LEAST
        if value is not None and (value < bound if least else value > bound):
            part, _, name = path.rpartition(".")
            where = setting(OmegaConf.select(config, part), name, path)
            yield f"{where}={value}: it must be at {'least' if least else 'most'} {bound}."
    for path, available in CHOICES.items():
        value = OmegaConf.select(config, path)
        if value is not None and value not in available:
            yield str(unknown(path, str(value), available))
    yield from wrong_trackers(config.trainer.logger)
    optimiser = config[POLICY].actor.optim
    try:
        getattr(importlib.import_module(optimiser.optimizer_impl), optimiser.optimizer)
    except (ImportError, AttributeError) as error:
        yield f"{POLICY}.actor.optim: the optimiser {optimiser.optimizer} cannot be had: {error}."


def wrong_trackers(loggers) -> Iterator[str]:
    """A sentence for each of trainer.logger that verl does not know, or whose package is not installed."""
    for name in [loggers] if isinstance(loggers, str) else loggers or []:
        if name not in Tracking.supported_backend:
            yield str(unknown("tracker (trainer.logger)", name, Tracking.supported_backend))
        elif name in TRACKERS and importlib.util.find_spec(TRACKERS[name]) is None:
            yield f"The tracker {name} (trainer.logger) needs the package {TRACKERS[name]}, which is not installed."


def _not_ours(config: DictConfig) -> Iterator[str]:
    """Settings of verl that its own entry point would follow and that ours does not."""
    mode = config.trainer.v1.trainer_mode
    if mode != "sync":
        yield (
            f"trainer.v1.trainer_mode={mode}: medical_rl trains in verl's mode `sync` alone, and this would "
            "change nothing. Leave it out."
        )
    if not config.trainer.use_v1:
        yield "trainer.use_v1=false: medical_rl trains by verl's v1 trainer alone. Leave it out."
    engine, rollout, estimator = config.conf.engine, config[POLICY].rollout, config.algorithm.adv_estimator
    if rollout.n == 1 and estimator in OF_GROUPS:
        yield (
            f"{POLICY}.rollout.n=1: algorithm.adv_estimator={estimator} compares the responses to one prompt, and "
            "verl would take the bare reward of a single one for its advantage. Give two or more."
        )
    bypass = OmegaConf.select(config, "algorithm.rollout_correction.bypass_mode")
    if int(engine.get("agreement_steps") or 0) > 0 and (bypass or not rollout.calculate_log_probs):
        cause = (
            "algorithm.rollout_correction.bypass_mode=true"
            if bypass
            else f"{POLICY}.rollout.calculate_log_probs=false"
        )
        yield (
            f"{cause}: the probabilities of rollout and trainer are then not compared, and a run that is blind "
            "to its images would not be noticed. To train unwatched: conf.engine.agreement_steps=0."
        )


def _refused_by_verl(config: DictConfig) -> list[str]:
    """What verl's own dataclasses and validation say of settings whose types are right."""
    settings, _ = rl_config(config, str(config.conf.model.path))
    OmegaConf.resolve(settings)
    problems = []
    for part in PARTS:
        if part != f"{POLICY}.model":  # it reads the model's files
            problems += _refusal(part, omega_conf_to_dataclass, OmegaConf.select(settings, part))
    with_reference, with_critic = need_reference_policy(settings), need_critic(settings)
    return problems or _refusal("the configuration", validate_config, settings, with_reference, with_critic)


def _refusal(what: str, check: Callable, *arguments) -> list[str]:
    """[what verl says] where `check` raises; the failed assertion itself where verl says nothing."""
    try:
        check(*arguments)
    except Exception as error:  # noqa: BLE001  verl refuses by whatever exception
        cause = error.__cause__ or error
        said = str(cause).strip() or traceback.extract_tb(cause.__traceback__)[-1].line
        return [f"verl refuses {what}: {said.splitlines()[0]}"]
    return []


def sft_problems(config: DictConfig, group: str) -> list[str]:
    """What is wrong with the settings of supervised training, conf.<group>."""
    training, where, problems = config.conf[group], f"conf.{group}", []
    for name, kind in SUPERVISED.items():
        value = training.get(name)
        if not has_type(value, {kind}):
            problems.append(f"{where}.{name}={value}: it takes {NAMES[kind]}.")
        elif value is not None and value < (1 if kind is int else 0):
            problems.append(f"{where}.{name}={value}: it must be at least {1 if kind is int else 0}.")
    if str(training.lr_schedule) not in ("constant", "cosine"):
        problems.append(str(unknown(f"{where}.lr_schedule", training.lr_schedule, ("constant", "cosine"))))
    if not has_type(config.conf.model.lora_rank, {int}):
        problems.append(f"conf.model.lora_rank={config.conf.model.lora_rank}: it takes a whole number.")
    if not (training.get("steps") or training.get("epochs")):
        problems.append(f"{where} says neither steps nor epochs: give one of them.")
    problems += wrong_trackers(config.trainer.logger)
    if problems:
        return problems
    files = {"train": "train.parquet", "val": "val.parquet"}
    rows, model = int(training.batch_size), str(config.conf.model.path)
    overrides, _ = sft_overrides(config, model, files, Path("checkpoints"), rows, training, group)
    try:
        with initialize_config_dir(str(verl_config_folder()), version_base=None):
            composed = compose("sft_trainer_engine", overrides=overrides)
    except Exception as error:  # noqa: BLE001  Hydra's errors have no common base
        return [f"verl's supervised trainer does not take {where}: {str(error).splitlines()[0]}"]
    for part in ("model", "engine", "optim"):
        refused = list(wrong_types(composed[part], part, lambda path: set()))
        if not refused and part != "model":  # it reads the model's files
            refused = _refusal(part, omega_conf_to_dataclass, composed[part])
        problems += [f"{where}: {sentence}" for sentence in refused]
    return problems


def all_problems(config: DictConfig, reinforced: bool, supervised: Collection[str]) -> list[str]:
    """What is wrong with the settings of GRPO, if `reinforced`, and of each group of supervised training."""
    problems = grpo_problems(config) if reinforced else []
    for group in supervised:
        problems += sft_problems(config, group)
    return list(dict.fromkeys(problems))


def main(request_file: Path) -> None:
    """Write the list of problems to the request's `answer`."""
    request = json.loads(request_file.read_text(encoding="utf-8"))
    config = OmegaConf.load(request_file.with_name("config.yaml"))
    problems = all_problems(config, request["reinforced"], request["supervised"])
    write_json(Path(request["answer"]), problems)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
