"""What terms ask: the judge and the reward model, built from config where a mix needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from medical_rl.errors import UserError


def _judge(conf: Mapping, run_dir: str | Path | None, desk):
    settings = conf.get("judge")
    if not settings or not settings.get("enabled"):
        raise UserError(
            "The reward mix asks a judge (consistency), and conf/judge=none. Choose an endpoint (conf/judge=openai, gemini or local), "
            "or a mix with a rule in its place: conf/rewards=medfact_r1_offline."
        )
    from medical_rl.judges.build import from_config

    return from_config(settings, None if run_dir is None else Path(run_dir), desk)


def _reward_model(conf: Mapping, run_dir: str | Path | None, desk):
    settings = conf.get("reward_model")
    if not settings:
        raise UserError(
            "The reward mix asks a learned reward model, and conf/reward_model=none. Serve one and name it: "
            "conf/reward_model=endpoint conf.reward_model.base_url=http://HOST:PORT, or leave the term out: ~conf.rewards.terms.learned."
        )
    from medical_rl.reward_model.client import RewardModel

    return RewardModel.from_config(settings)


SERVICES: dict[str, Callable] = {"judge": _judge, "reward_model": _reward_model}


def connect(mix, conf: Mapping, run_dir: str | Path | None = None, desk=None) -> dict[str, object]:
    """{name: client} of all services that the mix asks; UserError for one that config does not give."""
    return {name: SERVICES[name](conf, run_dir, desk) for name in sorted(mix.needs)}
