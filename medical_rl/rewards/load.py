"""A mix or a judge by name, without a recipe or verl: for offline work and for other trainers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from medical_rl.errors import UserError, unknown
from medical_rl.rewards.mix import Mix
from medical_rl.rewards.services import connect

NAME = "medical_rl_rewards"
# What the files of conf/rewards and conf/judge refer to; a choice of conf/data or conf/model takes its place.
_STUBS = {
    "data": {"outcome": "accuracy"},
    "model": {"min_pixels": 3136, "max_pixels": 501760},
    "run_dir": "runs/rewards",
    "seed": 1,
}
_ALWAYS = {"rewards": "vrft_aug", "judge": "none", "reward_model": "none"}


def load_mix(
    overrides: Sequence[str] = (), connected: bool = True, run_dir: Path | None = None
) -> tuple[Mix, str]:
    """(the mix, its name) that overrides such as `conf/rewards=medfact_r1` choose.

    With a recipe (`conf=...`) among them the whole recipe is composed, as a run would, which needs verl.
    connected  also builds the judge and the reward model that the mix asks
    Raises UserError for a choice or a setting that is not there.
    """
    settings = load_settings(overrides)
    mix = Mix.from_config(settings["rewards"])
    if connected:
        mix.services = connect(mix, settings, run_dir)
    name = _ALWAYS["rewards"]
    for override in overrides:
        if override.startswith("conf/rewards="):
            name = override.partition("=")[2]
    return mix, name


def load_judge(folder: Path, overrides: Sequence[str]):
    """The `Judge` that overrides such as `conf/judge=local` choose, its files in `<folder>.asked/judge`.

    They are beside the prepared folder, not in it, so that the folder's own hash stays.
    Raises UserError where none is chosen, or for a setting that could not work.
    """
    from medical_rl.judges.build import from_config

    folder = folder.resolve()
    judge = from_config(load_settings(overrides)["judge"], folder.with_name(f"{folder.name}.asked"))
    if judge is None:
        raise UserError(
            "This asks a language model, and no judge is chosen (conf/judge=none). Add conf/judge=local, "
            "openai or gemini, and, where they differ, conf.judge.endpoint.base_url=ADDRESS and "
            "conf.judge.endpoint.model=NAME."
        )
    return judge


def load_max_failure_rate(overrides: Sequence[str]) -> float:
    """The share of questions that may fail: conf.rewards.max_failure_rate, as in training."""
    return float(load_settings(overrides)["rewards"]["max_failure_rate"])


def load_settings(overrides: Sequence[str] = ()) -> dict[str, dict]:
    """{"rewards", "judge", "reward_model"} as plain dicts, as the overrides choose them; see `load_mix`.

    >>> load_settings(["conf/judge=local"])["judge"]["endpoint"]["local"]
    True
    """
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from medical_rl.config.hydra_errors import explain

    overrides = list(overrides)
    _check_choices(overrides)
    try:
        conf = _compose(overrides).conf
        return {name: OmegaConf.to_container(conf[name], resolve=True) for name in _ALWAYS if conf.get(name)}
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, overrides, _compose) or str(error)) from error


def _check_choices(overrides: Sequence[str]) -> None:
    """Raise UserError with the nearest names for a group's choice that does not exist."""
    from medical_rl.config.compose import choices, groups

    for override in overrides:
        group, equals, choice = override.partition("=")
        if not equals or not group.startswith("conf/"):
            continue
        group = group.removeprefix("conf/")
        if group not in groups():
            raise unknown("group", f"conf/{group}", [f"conf/{g}" for g in groups()])
        if choice not in choices(group):
            kind = "reward mix" if group == "rewards" else f"choice of conf/{group}"
            raise unknown(kind, choice, choices(group))


def _compose(overrides: list[str]) -> Mapping:
    """The composed configuration; all of ours is under `conf`."""
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra

    from medical_rl.config import compose as whole

    if any(o.startswith("conf=") for o in overrides):
        return whole.compose(overrides)
    chosen, stubs = dict(_ALWAYS), dict(_STUBS)
    for group in ("data", "model"):
        if any(override.startswith(f"conf/{group}=") for override in overrides):
            chosen[group] = "???"
            del stubs[group]
    defaults: list = [{f"conf/{group}": choice} for group, choice in chosen.items()]
    defaults.append("_self_")
    ConfigStore.instance().store(name=NAME, node={"defaults": defaults, "conf": stubs})
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(whole.root()), version_base="1.3"):
        return compose(NAME, overrides=overrides)
