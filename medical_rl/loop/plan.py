"""What the loop's steps are called, and what each takes from which: `round_2/rl` is the step `rl` of round 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medical_rl.run.stage_names import split_stage, stage_of

# Algorithm 1, lines 3 to 14, in order.
STEPS = ("generate", "score", "select", "warm_start", "rl", "preferences", "reward_model", "distil")
# Lines 12 to 14: what only a later round makes use of.
EVOLVING = ("preferences", "reward_model", "distil")
POLICIES = ("warm_start", "rl")


def steps(round_: int, loop: Mapping) -> list[str]:
    """The steps of a round: conf.loop.steps, without the evolving ones in the last round unless conf.loop.evolve_last.

    >>> steps(2, {"rounds": 2, "steps": ["generate", "rl", "reward_model"], "evolve_last": False})
    ['generate', 'rl']
    """
    last = round_ == int(loop["rounds"]) and not loop["evolve_last"]
    return [step for step in loop["steps"] if not (last and step in EVOLVING)]


def policy_after(round_: int, loop: Mapping) -> str | None:
    """The stage that holds the policy after round `round_`; None before the first round or where no step trains one."""
    trained = [step for step in POLICIES if step in loop["steps"]]
    return stage_of(round_, trained[-1]) if round_ >= 1 and trained else None


def policy_before(stage: str, loop: Mapping) -> str | None:
    """The stage whose policy `round_k/<step>` begins from; None means the base model.

    A round's RL begins from its own warm start; its first training step from the round before (conf.loop.start: previous)
    or from the base model (base).
    """
    round_, step = split_stage(stage)
    earlier = [s for s in POLICIES[: POLICIES.index(step)] if s in loop["steps"]]
    if earlier:
        return stage_of(round_, earlier[-1])
    return policy_after(round_ - 1, loop) if loop["start"] == "previous" else None


def judge_of(round_: int, loop: Mapping) -> str:
    """The stage that trained the R_phi which round `round_` scores with: the seed's, or the round's before it."""
    return (
        stage_of(round_ - 1, "reward_model")
        if round_ > 1 and "reward_model" in loop["steps"]
        else "reward_model"
    )


def trained(loop: Mapping) -> list[str]:
    """Every stage of the loop that leaves a policy, in order."""
    rounds = range(1, int(loop["rounds"]) + 1)
    return [stage_of(r, step) for r in rounds for step in POLICIES if step in loop["steps"]]


def needs(stage: str, loop: Mapping) -> Sequence[str]:
    """The stages whose outputs decide what `round_k/<step>` gives; some of them may not be there (the first round's)."""
    round_, step = split_stage(stage)
    here = {name: stage_of(round_, name) for name in STEPS}
    rated = judge_of(round_, loop)
    before = stage_of(round_ - 1, "select") if round_ > 1 else None
    generator = stage_of(round_ - 1, "distil") if round_ > 1 and "distil" in loop["steps"] else None
    taken = {
        "generate": ("prepare", "reward_model", generator),
        "score": (here["generate"], rated),
        "select": ("prepare", here["generate"], here["score"], before),
        "warm_start": ("prepare", here["select"], policy_before(here["warm_start"], loop)),
        "rl": ("prepare", here["select"], policy_before(here["rl"], loop), rated),
        "preferences": ("prepare", here["select"], policy_after(round_, loop)),
        "reward_model": ("prepare", here["preferences"], "reward_model", rated),
        "distil": (here["select"], generator),
    }
    return tuple(dict.fromkeys(name for name in taken[step] if name))
