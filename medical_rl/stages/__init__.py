"""The stages a recipe is made of; `conf.stages` names them in order.

A stage is a function `(config, run) -> {"outputs": {name: path below the run folder}, "notes": [...], "figures": {...}}`,
run in a process of its own by `medical_rl.pipeline.run`. To add one: write `stages/<name>.py` and list it here.
`loop` is no stage but stands for MedGR2's rounds: their steps are stages named `round_<k>/<step>`.
"""

from collections.abc import Iterable, Mapping

from medical_rl.loop import plan
from medical_rl.run.stage_names import split_stage

STAGES = {
    "prepare": "medical_rl.stages.common.prepare:run",
    "retrieve": "medical_rl.stages.medfact_r1.retrieve:run",
    "calibrate": "medical_rl.stages.medfact_r1.calibrate:run",
    "align": "medical_rl.stages.medfact_r1.align:run",
    "pseudo_label": "medical_rl.stages.medfact_r1.pseudo_label:run",
    "warm_start": "medical_rl.stages.common.warm_start:run",
    "sft": "medical_rl.stages.common.warm_start:run_sft",
    "rl": "medical_rl.stages.common.rl:run",
    "localize_sft": "medical_rl.stages.common.warm_start:run_sft",
    "localize_rl": "medical_rl.stages.common.rl:run",
    "reward_model": "medical_rl.stages.medgr2.reward_model:run",
    "generate": "medical_rl.stages.medgr2.generate:run",
    "score": "medical_rl.stages.medgr2.score:run",
    "select": "medical_rl.stages.medgr2.select:run",
    "preferences": "medical_rl.stages.medgr2.preferences:run",
    "distil": "medical_rl.stages.medgr2.distil:run",
    "best": "medical_rl.stages.medgr2.best:run",
    "evaluate": "medical_rl.stages.common.evaluate:run",
}
LOOP = "loop"
# Stages that are another one under the name of the model they leave.
SUPERVISED = ("sft", "localize_sft")
REINFORCED = ("rl", "localize_rl")
# The outputs of these stages, where the recipe has them, decide what a stage outside the loop gives.
NEEDS = {
    "prepare": (),
    "retrieve": ("prepare",),
    "calibrate": ("prepare", "retrieve"),
    "align": ("prepare", "retrieve", "calibrate"),
    "pseudo_label": ("prepare", "retrieve", "calibrate", "align"),
    "warm_start": ("prepare", "pseudo_label"),
    "sft": ("prepare", "warm_start"),
    "rl": ("prepare", "pseudo_label", "warm_start"),
    "localize_sft": ("prepare", "warm_start"),
    "localize_rl": ("prepare", "warm_start"),
    "reward_model": ("prepare",),
    "best": (),
    "evaluate": ("prepare", "pseudo_label", "warm_start", *SUPERVISED, *REINFORCED),
}
# Steps that have a place in the loop alone; the others may stand in conf.stages too.
IN_LOOP_ONLY = tuple(step for step in plan.STEPS if step not in NEEDS)
TITLES = {
    "prepare": "data preparation",
    "retrieve": "reports for every question",
    "calibrate": "factuality-risk calibration",
    "align": "preference alignment of the labeller",
    "pseudo_label": "pseudo-labels",
    "warm_start": "supervised warm start",
    "sft": "supervised arm",
    "rl": "GRPO",
    "localize_sft": "localisation by SFT",
    "localize_rl": "localisation by GRPO",
    "reward_model": "reward model",
    "generate": "generated questions",
    "score": "scores by the reward model",
    "select": "filter",
    "preferences": "graded samples of the policy",
    "distil": "distillation of the generator",
    "best": "the best round's model",
    "evaluate": "greedy evaluation",
}


def reinforces(stages: Iterable[str]) -> bool:
    """True if one of `stages` scores responses by the rewards."""
    return not {*REINFORCED, LOOP}.isdisjoint(stages)


def needs(stage: str, conf: Mapping) -> tuple[str, ...]:
    """The stages whose outputs decide what `stage` gives; not all of them need be there."""
    if split_stage(stage)[0] is not None:
        return tuple(plan.needs(stage, conf["loop"]))
    stages = list(conf["stages"])
    if stage in ("calibrate", "align") and {"calibrate", "align"} <= set(stages):
        # whichever comes first decides the other: the aligned labeller may be calibrated, or the calibrated one aligned
        other = "align" if stage == "calibrate" else "calibrate"
        before = (other,) if stages.index(other) < stages.index(stage) else ()
        return ("prepare", "retrieve", *before)
    looping = LOOP in stages
    return NEEDS[stage] + (
        tuple(plan.trained(conf["loop"])) if looping and stage in ("best", "evaluate") else ()
    )
