"""A round's plan: what its steps are called, what each takes from which, and its configuration."""

import itertools
from collections.abc import Mapping

from omegaconf import DictConfig, open_dict

# Algorithm 1, lines 3 to 14, in order.
STEPS = ("generate", "score", "select", "warm_start", "rl", "preferences", "reward_model", "distil")
# Lines 12 to 14: what only a later round makes use of.
EVOLVING = ("preferences", "reward_model", "distil")


def split_stage(stage: str) -> tuple[int | None, str]:
    """(round, step) of a stage's name; the round is None outside the loop.

    >>> split_stage("round_2/rl"), split_stage("prepare")
    ((2, 'rl'), (None, 'prepare'))
    """
    head, _, step = stage.rpartition("/")
    return (int(head.removeprefix("round_")) if head else None), step


def round_stage(round_: int, step: str) -> str:
    """The stage's name: round_2/rl."""
    return f"round_{round_}/{step}"


def steps(round_: int, loop: Mapping) -> list[str]:
    """The steps of a round: conf.loop.steps, in the last round (but for evolve_last) without EVOLVING."""
    if round_ < int(loop["rounds"]) or loop["evolve_last"]:
        return list(loop["steps"])
    return [step for step in loop["steps"] if step not in EVOLVING]


def policy_steps(loop: Mapping) -> list[str]:
    """The steps of a round that train the policy, in order."""
    return [step for step in ("warm_start", "rl") if step in loop["steps"]]


def policy_stages(loop: Mapping) -> list[str]:
    """Every stage of the loop that leaves a policy, in order."""
    rounds = range(1, int(loop["rounds"]) + 1)
    return list(itertools.starmap(round_stage, itertools.product(rounds, policy_steps(loop))))


def policy_after(round_: int, loop: Mapping) -> str | None:
    """The stage that holds the policy after round `round_`; None before the first, or where none is trained."""
    trained = policy_steps(loop)
    return round_stage(round_, trained[-1]) if round_ >= 1 and trained else None


def policy_before(stage: str, loop: Mapping) -> str | None:
    """The stage whose policy `round_k/<step>` begins from; None means the base model.

    A round's RL begins from its own warm start; its first training step from the round before
    (conf.loop.start: previous) or from the base model (base).
    """
    round_, step = split_stage(stage)
    if step == "rl" and "warm_start" in loop["steps"]:
        return round_stage(round_, "warm_start")
    return policy_after(round_ - 1, loop) if loop["start"] == "previous" else None


def reward_model_before(round_: int, loop: Mapping) -> str:
    """The stage that trained the R_phi which round `round_` scores with: the seed's, or of the round before."""
    if round_ > 1 and "reward_model" in loop["steps"]:
        return round_stage(round_ - 1, "reward_model")
    return "reward_model"


def needs(stage: str, loop: Mapping) -> tuple[str, ...]:
    """The stages whose outputs decide what `round_k/<step>` gives; some may not be there (the first round's)."""
    round_, step = split_stage(stage)
    here = {name: round_stage(round_, name) for name in STEPS}
    scorer = reward_model_before(round_, loop)
    selected = generator = None
    if round_ > 1:
        selected = round_stage(round_ - 1, "select")
        if "distil" in loop["steps"]:
            generator = round_stage(round_ - 1, "distil")
    taken = {
        "generate": ("prepare", "reward_model", generator),
        "score": (here["generate"], scorer),
        "select": ("prepare", here["generate"], here["score"], selected),
        "warm_start": ("prepare", here["select"], policy_before(here["warm_start"], loop)),
        "rl": ("prepare", here["select"], policy_before(here["rl"], loop), scorer),
        "preferences": ("prepare", here["select"], policy_after(round_, loop)),
        "reward_model": ("prepare", here["preferences"], "reward_model", scorer),
        "distil": (here["select"], generator),
    }
    return tuple(dict.fromkeys(filter(None, taken[step])))


def with_round_paths(config: DictConfig, stage: str) -> DictConfig:
    """`config` with rows, checkpoints and rollouts of `stage`'s round; unchanged outside the loop.

    Without folders of its own a round's RL would resume from the round before it.
    """
    round_, _ = split_stage(stage)
    if round_ is None:
        return config
    run, home = str(config.conf.run_dir), f"round_{round_}"
    with open_dict(config):
        config.data.train_files = f"{run}/{home}/train.parquet"
        config.trainer.default_local_dir = f"{run}/checkpoints/{stage}"
        config.trainer.rollout_data_dir = f"{run}/rollouts/{stage}"
        config.trainer.validation_data_dir = f"{run}/rollouts/{home}/validation"
        config.trainer.experiment_name = f"{config.conf.recipe}-{home}"
    return config
