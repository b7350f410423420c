"""Stage `best`: the policy of the loop that validated best, as the run's own model."""

import shutil
from collections.abc import Mapping

from omegaconf import DictConfig

from medical_rl.errors import UserError
from medical_rl.loop import plan
from medical_rl.loop.summary import read_outcome
from medical_rl.run.files import link_or_copy, replacing_folder
from medical_rl.run.folder import RunFolder
from medical_rl.stages.stage import Stage


def run(config: DictConfig, folder: RunFolder) -> dict:
    """Copy the model that validated best of all rounds (loop.json) to checkpoints/best/huggingface."""
    outcome = read_outcome(folder)
    if outcome is None:
        raise UserError(
            "The stage `best` keeps the loop's best round, and no loop has ended in this run folder: put "
            "loop before it in conf.stages."
        )
    stage = outcome["best"]
    source = folder.output(stage, "model") if stage else None
    if source is None:
        raise UserError(
            f"Round {outcome['best_round']} has trained no policy: conf.loop.steps has neither warm_start "
            "nor rl."
        )
    goal = folder.path / "checkpoints" / "best" / "huggingface"
    goal.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(goal) as scratch:
        shutil.copytree(source, scratch, copy_function=link_or_copy)
    return {"outputs": {"model": "checkpoints/best/huggingface"}, "notes": [f"the model of {stage}"]}


def needs(conf: Mapping) -> tuple[str, ...]:
    """Every stage of the loop that leaves a policy."""
    return tuple(plan.policy_stages(conf["loop"])) if "loop" in conf["stages"] else ()


STAGE = Stage(name="best", title="the best round's model", run=run, needs=needs)
