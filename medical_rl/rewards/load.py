"""A mix or a judge by name, without a recipe or verl, and what a mix asks: the judge and the reward model."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from medical_rl.errors import UserError, check_known
from medical_rl.judges.endpoint import Endpoint, refuse_restricted
from medical_rl.judges.judge import checked_settings, from_config
from medical_rl.rewards.mix import Mix
from medical_rl.rewards.reward_model_client import RewardModelClient
from medical_rl.sample import Sample

NAME = "medical_rl_rewards"
# The address of a server that the run will start itself: known only once it listens.
NOT_YET = "http://127.0.0.1"
# What the files of conf/rewards and conf/judge refer to; a choice of conf/data or conf/model takes its place.
_STUBS = {
    "data": {"outcome": "accuracy"},
    "model": {"min_pixels": 3136, "max_pixels": 501760},
    "run_dir": "runs/rewards",
    "seed": 1,
}
_ALWAYS = {"rewards": "vrft_aug", "judge": "none", "reward_model": "none"}


def load_mix(overrides: Sequence[str] = (), run_dir: Path | None = None) -> tuple[Mix, str]:
    """(the mix with what it asks, its name) that overrides such as `conf/rewards=medfact_r1` choose.

    With a recipe (`conf=...`) among them the whole recipe is composed, as a run would, which needs verl.
    Raises UserError for a choice or a setting that is not there.
    """
    settings = load_settings(overrides)
    mix = Mix.from_config(settings["rewards"])
    mix.services = connect(mix, settings, run_dir)
    name = _ALWAYS["rewards"]
    for override in overrides:
        if override.startswith("conf/rewards="):
            name = override.partition("=")[2]
    return mix, name


def load_judge(folder: Path, overrides: Sequence[str]):
    """The `Judge` that overrides such as `conf/judge=local` choose, else UserError.

    Its files are in `<folder>.asked/judge`, beside the prepared folder, so that the folder's own hash stays.
    """
    folder = folder.resolve()
    judge = from_config(load_settings(overrides)["judge"], folder.with_name(f"{folder.name}.asked"))
    if judge is None:
        raise UserError(
            "This asks a language model, and no judge is chosen (conf/judge=none). Add conf/judge=local, "
            "openai or gemini, and, where they differ, conf.judge.endpoint.base_url=ADDRESS and "
            "conf.judge.endpoint.model=NAME."
        )
    return judge


def load_settings(overrides: Sequence[str] = ()) -> dict[str, dict]:
    """{"rewards", "judge", "reward_model"} as plain dicts, as the overrides choose them; see `load_mix`.

    >>> load_settings(["conf/judge=local"])["judge"]["endpoint"]["local"]
    True
    """
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from medical_rl.config.compose import choices, groups
    from medical_rl.config.hydra_errors import explain

    overrides = list(overrides)
    for override in overrides:
        group, equals, choice = override.partition("=")
        if equals and group.startswith("conf/"):
            check_known("group", group, [f"conf/{name}" for name in groups()])
            kind = "reward mix" if group == "conf/rewards" else f"choice of {group}"
            check_known(kind, choice, choices(group.removeprefix("conf/")))
    try:
        conf = _compose(overrides).conf
        return {name: OmegaConf.to_container(conf[name], resolve=True) for name in _ALWAYS if conf.get(name)}
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, overrides, _compose) or str(error)) from error


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


def _judge_settings(conf: Mapping) -> Mapping:
    """conf.judge, of a judge that is there; UserError, saying what to choose, where there is none."""
    settings = conf.get("judge")
    if not settings or not settings.get("enabled"):
        raise UserError(
            "The reward mix asks a judge (consistency), and conf/judge=none. Choose an endpoint "
            "(conf/judge=openai, gemini or local), or a mix with a rule in its place: "
            "conf/rewards=medfact_r1_offline."
        )
    return settings


def _reward_model(conf: Mapping) -> RewardModelClient:
    settings = dict(conf.get("reward_model") or {})
    if not settings:
        raise UserError(
            "The reward mix asks a learned reward model, and conf/reward_model=none. Serve one and name it: "
            "conf/reward_model=endpoint conf.reward_model.base_url=http://HOST:PORT, or leave the term out: "
            "~conf.rewards.terms.learned."
        )
    if settings.pop("serve", None) and not settings.get("base_url"):
        settings["base_url"] = NOT_YET
    return RewardModelClient.from_config(settings)


def connect(mix: Mix, conf: Mapping, run_dir: str | Path | None = None, desk=None) -> dict[str, object]:
    """{name: client} of all services that the mix asks; UserError for one that config does not give."""
    services: dict[str, object] = {}
    if "judge" in mix.needs:
        services["judge"] = from_config(_judge_settings(conf), run_dir, desk)
    if "reward_model" in mix.needs:
        services["reward_model"] = _reward_model(conf)
    return services


def endpoints(mix: Mix, conf: Mapping) -> dict[str, object]:
    """{the setting that configures it: where the mix sends rows}; nothing is opened.

    Raises UserError for a service that config does not give, a wrong setting, or a key that is not set.
    """
    places: dict[str, object] = {}
    if "judge" in mix.needs:
        settings = checked_settings(_judge_settings(conf))
        places["conf.judge.endpoint"] = endpoint = Endpoint.from_mapping(settings["endpoint"])
        if settings.get("mode", "live") == "live":
            endpoint.api_key()
    if "reward_model" in mix.needs:
        places["conf.reward_model"] = _reward_model(conf)
    return places


def check_restricted(places: Mapping[str, object], samples: Iterable[Sample]) -> None:
    """Raise UserError, before anything is trained, for a restricted row that a place may not be sent."""
    for sample in samples:
        for setting, place in places.items():
            refuse_restricted(place, sample.restricted, sample.source, setting)
