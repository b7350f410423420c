"""conf.loop, checked before anything starts."""

from collections.abc import Mapping

from medical_rl.errors import UserError, unknown
from medical_rl.judges.endpoint import Endpoint
from medical_rl.loop.generators import generator_settings
from medical_rl.loop.plan import STEPS
from medical_rl.loop.select import check_filter
from medical_rl.reward_model.policy_grades import LEAST_REPLAY

STARTS = ("previous", "base")
# Each step needs those named, earlier in the round.
AFTER = {
    "score": ("generate",),
    "select": ("generate", "score"),
    "warm_start": ("select",),
    "rl": ("select",),
    "reward_model": ("preferences",),
}


def check_loop(loop: Mapping, generator: Mapping, reward_training: Mapping) -> None:
    """Raise UserError for a setting of the loop, its generator or R_phi's training that could not work.

    R_phi is trained for hours before the generator is first asked: a missing key is said now.
    """
    _check_steps(loop)
    check_filter(loop["filter"])
    if "generate" in loop["steps"]:
        settings = generator_settings(generator)
        if settings["kind"] == "endpoint" and settings["service"].get("mode", "live") == "live":
            Endpoint.from_mapping(settings["service"]["endpoint"]).api_key()
    if reward_training["loss"] == "pairwise" and loop["filter"]["by"] == "tau":
        raise UserError(
            "conf.reward_training.loss=pairwise leaves R_phi's scale free, so conf.loop.filter.tau has no "
            "meaning. Use conf.loop.filter.by=top_k or quantile."
        )


def _check_steps(loop: Mapping) -> None:
    if int(loop["rounds"]) < 1:
        raise UserError(f"conf.loop.rounds={loop['rounds']}: at least one round is needed.")
    steps = list(loop["steps"])
    for step in steps:
        if step not in STEPS:
            raise unknown("step of conf.loop.steps named", step, STEPS)
    if steps != [step for step in STEPS if step in steps]:
        raise UserError(
            f"conf.loop.steps=[{', '.join(steps)}]: a step may be left out, not repeated or moved. "
            f"In order: {', '.join(STEPS)}."
        )
    for step in steps:
        missing = [name for name in AFTER.get(step, ()) if name not in steps]
        if missing:
            raise UserError(f"conf.loop.steps has {step}, which needs {' and '.join(missing)} before it.")
    if "preferences" in steps and "warm_start" not in steps and "rl" not in steps:
        raise UserError(
            "conf.loop.steps has preferences, which samples the policy, and neither warm_start nor rl "
            "trains one."
        )
    if loop["start"] not in STARTS:
        raise unknown("conf.loop.start", loop["start"], STARTS)
    replay = loop["preferences"]["replay"]
    if not LEAST_REPLAY <= float(replay) < 1:
        raise UserError(
            f"conf.loop.preferences.replay={replay}: at least {LEAST_REPLAY} of what R_phi is retrained on "
            "must be rows of the four grades, and less than all of it."
        )
