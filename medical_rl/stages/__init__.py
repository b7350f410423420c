"""The stages a recipe is made of; `conf.stages` names them in order.

To add one, write a file that ends with its declaration (`STAGE = Stage(...)`, see stage.py) and name it in
STAGES: nothing else lists stages. `loop` is no stage but stands for MedGR2's rounds: their steps are stages
named `round_<k>/<step>`.
"""

import importlib
from collections.abc import Iterable, Mapping

from medical_rl.errors import UserError, unknown
from medical_rl.loop import plan
from medical_rl.loop.plan import split_stage
from medical_rl.stages.stage import Stage

# {name: where it is declared}, in the order in which recipes have them.
STAGES = {
    "prepare": "medical_rl.stages.common.prepare:STAGE",
    "retrieve": "medical_rl.stages.medfact_r1.retrieve:STAGE",
    "calibrate": "medical_rl.stages.medfact_r1.calibrate:STAGE",
    "align": "medical_rl.stages.medfact_r1.align:STAGE",
    "pseudo_label": "medical_rl.stages.medfact_r1.pseudo_label:STAGE",
    "warm_start": "medical_rl.stages.common.warm_start:STAGE",
    "sft": "medical_rl.stages.common.warm_start:SFT",
    "rl": "medical_rl.stages.common.rl:STAGE",
    "localize_sft": "medical_rl.stages.common.warm_start:LOCALIZE_SFT",
    "localize_rl": "medical_rl.stages.common.rl:LOCALIZE",
    "reward_model": "medical_rl.stages.medgr2.reward_model:STAGE",
    "generate": "medical_rl.stages.medgr2.generate:STAGE",
    "score": "medical_rl.stages.medgr2.score:STAGE",
    "select": "medical_rl.stages.medgr2.select:STAGE",
    "preferences": "medical_rl.stages.medgr2.preferences:STAGE",
    "distil": "medical_rl.stages.medgr2.generate:DISTIL",
    "best": "medical_rl.stages.medgr2.select:BEST",
    "evaluate": "medical_rl.stages.common.evaluate:STAGE",
}
LOOP = "loop"


def declared(name: str) -> Stage:
    """The declaration of the stage `name`, its module imported only now; `round_2/rl` is that of rl."""
    module, attribute = STAGES[split_stage(name)[1]].split(":")
    return getattr(importlib.import_module(module), attribute)


def planned(conf: Mapping) -> list[str]:
    """The stages to run, in order; a UserError for one that is none, or has its place in the loop."""
    names = list(conf["stages"])
    for name in names:
        if name != LOOP and (name not in STAGES or declared(name).in_loop_only):
            outside = [stage for stage in STAGES if not declared(stage).in_loop_only]
            raise unknown("stage", name, [LOOP] + outside)
    if LOOP in names and not conf.get("loop"):
        raise UserError("conf.stages has loop, and this recipe has no conf/loop. conf=medgr2 has one.")
    return [name for name in names if name != "warm_start" or conf["warm_start"]["enabled"]]


def needs(stage: str, conf: Mapping) -> tuple[str, ...]:
    """The stages whose outputs decide what `stage` gives; not all of them need be there."""
    if split_stage(stage)[0] is not None:
        return tuple(plan.needs(stage, conf["loop"]))
    named = declared(stage).needs
    return named(conf) if callable(named) else named


def that_train(how: str | None = None) -> list[str]:
    """The stages that train the policy `how` ("supervised", "reinforced"; None: both), in STAGES' order."""
    ways = {how} if how else {"supervised", "reinforced"}
    return [name for name in STAGES if declared(name).trains in ways]


def supervised_arms(stages: Iterable[str]) -> list[str]:
    """The `stages` that are a supervised rival of RL, by conf.sft."""
    return [stage for stage in stages if stage in that_train("supervised") and stage != "warm_start"]


def reinforces(stages: Iterable[str]) -> bool:
    """True if one of `stages` scores responses by the rewards."""
    return not {LOOP}.union(that_train("reinforced")).isdisjoint(stages)
