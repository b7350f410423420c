"""What terms ask: the judge and the reward model, built from config where a mix needs them."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.sample import Sample

# The address of a server that the run will start itself: known only once it listens.
NOT_YET = "http://127.0.0.1"


def _judge(conf: Mapping, run_dir: str | Path | None, desk):
    settings = conf.get("judge")
    if not settings or not settings.get("enabled"):
        raise UserError(
            "The reward mix asks a judge (consistency), and conf/judge=none. Choose an endpoint "
            "(conf/judge=openai, "
            "gemini or local), or a mix with a rule in its place: conf/rewards=medfact_r1_offline."
        )
    from medical_rl.judges.build import from_config

    return from_config(settings, None if run_dir is None else Path(run_dir), desk)


def _reward_model(conf: Mapping, run_dir: str | Path | None, desk):
    settings = conf.get("reward_model")
    if not settings:
        raise UserError(
            "The reward mix asks a learned reward model, and conf/reward_model=none. Serve one and name it: "
            "conf/reward_model=endpoint conf.reward_model.base_url=http://HOST:PORT, or leave the term out: "
            "~conf.rewards.terms.learned."
        )
    from medical_rl.rewards.reward_model_client import RewardModelClient

    settings = dict(settings)
    if settings.pop("serve", None) and not settings.get("base_url"):
        settings["base_url"] = NOT_YET
    return RewardModelClient.from_config(settings)


SERVICES: dict[str, Callable] = {"judge": _judge, "reward_model": _reward_model}


def connect(mix, conf: Mapping, run_dir: str | Path | None = None, desk=None) -> dict[str, object]:
    """{name: client} of all services that the mix asks; UserError for one that config does not give."""
    return {name: SERVICES[name](conf, run_dir, desk) for name in sorted(mix.needs)}


def endpoints(mix, conf: Mapping) -> dict[str, object]:
    """{the setting that configures it: where the mix sends rows}; nothing is opened.

    Raises UserError for a service that config does not give, a wrong setting, or a key not in the
    environment.
    """
    places: dict[str, object] = {}
    if "judge" in mix.needs:
        if not (conf.get("judge") or {}).get("enabled"):
            _judge(conf, None, None)  # says what to choose
        from medical_rl.judges.build import checked_settings
        from medical_rl.judges.endpoint import Endpoint

        settings = checked_settings(conf["judge"])
        places["conf.judge.endpoint"] = endpoint = Endpoint.from_mapping(settings["endpoint"])
        if settings.get("mode", "live") == "live":
            endpoint.api_key()
    if "reward_model" in mix.needs:
        places["conf.reward_model"] = _reward_model(conf, None, None)
    return places


def check_restricted(places: Mapping[str, object], samples: Iterable[Sample]) -> None:
    """Raise UserError, before anything is trained, for a restricted row that a place may not be sent."""
    from medical_rl.judges.endpoint import refuse_restricted

    for sample in samples:
        for setting, place in places.items():
            refuse_restricted(place, sample.restricted, sample.source, setting)
