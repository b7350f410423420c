"""conf.loop checked before anything starts, and the filter of Algorithm 1, lines 5 to 9: what is kept and added."""

import math
import random
from collections.abc import Hashable, Iterable, Mapping, Sequence

from medical_rl.errors import UserError, unknown
from medical_rl.judges.endpoint import Endpoint
from medical_rl.judges.judge import rename_errors
from medical_rl.loop.generators import generator_settings
from medical_rl.loop.plan import STEPS
from medical_rl.reward_model.policy_grades import LEAST_REPLAY

STARTS = ("previous", "base")
# Each step needs those named, earlier in the round.
AFTER = {
    "score": ("generate",), "select": ("generate", "score"), "warm_start": ("select",), "rl": ("select",),
    "reward_model": ("preferences",),
}  # fmt: skip
# {filter: the figure it needs}. tau: R_phi above a threshold (line 5); top_k and quantile: the best by R_phi;
# random_k and none: Figure 2's controls.
FILTERS = {"tau": "tau", "top_k": "k", "quantile": "quantile", "random_k": "k", "none": None}


def check_loop(loop: Mapping, generator: Mapping, reward_training: Mapping) -> None:
    """Raise UserError for a setting of the loop, its generator or R_phi's training that could not work.

    R_phi is trained for hours before the generator is first asked: a missing key is said now.
    """
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
        reason = "which samples the policy, and neither warm_start nor rl trains one"
        raise UserError(f"conf.loop.steps has preferences, {reason}.")
    if loop["start"] not in STARTS:
        raise unknown("conf.loop.start", loop["start"], STARTS)
    replay = loop["preferences"]["replay"]
    if not LEAST_REPLAY <= float(replay) < 1:
        raise UserError(
            f"conf.loop.preferences.replay={replay}: at least {LEAST_REPLAY} of what R_phi is retrained on "
            "must be rows of the four grades, and less than all of it."
        )
    check_filter(loop["filter"])
    if "generate" in loop["steps"]:
        settings = generator_settings(generator)
        if settings["kind"] == "endpoint" and settings["service"].get("mode", "live") == "live":
            with rename_errors("conf.generator"):
                Endpoint.from_mapping(settings["service"]["endpoint"]).api_key()
    if reward_training["loss"] == "pairwise" and loop["filter"]["by"] == "tau":
        raise UserError(
            "conf.reward_training.loss=pairwise leaves R_phi's scale free, so conf.loop.filter.tau has no "
            "meaning. Use conf.loop.filter.by=top_k or quantile."
        )


def check_filter(rule: Mapping) -> None:
    """Raise UserError for a filter that is unknown or lacks its figure."""
    if rule["by"] not in FILTERS:
        raise unknown("filter (conf.loop.filter.by)", rule["by"], FILTERS)
    needed = FILTERS[rule["by"]]
    if needed and rule.get(needed) is None:
        raise UserError(f"conf.loop.filter.by={rule['by']} needs conf.loop.filter.{needed}.")
    if needed == "quantile" and not 0 <= rule["quantile"] < 1:
        raise UserError(f"conf.loop.filter.quantile={rule['quantile']} is no share from 0 to below 1.")
    if needed == "k" and rule["k"] < 1:
        raise UserError(f"conf.loop.filter.k={rule['k']}: at least one sample must be kept.")


def kept_positions(scores: Sequence[float], rule: Mapping, seed: int) -> list[int]:
    """Positions of the samples that the filter keeps, ascending.

    >>> kept_positions([9.0, -5.0, 7.0, 7.0], {"by": "top_k", "k": 2}, seed=0)
    [0, 2]
    """
    check_filter(rule)
    bad = [position for position, score in enumerate(scores) if not math.isfinite(score)]
    if bad:
        raise UserError(
            f"R_phi gave {len(bad)} candidates a score that is no finite number; the first is number "
            f"{bad[0]}."
        )
    count, by = len(scores), rule["by"]
    if by == "tau":
        return [position for position, score in enumerate(scores) if score > rule["tau"]]
    if by == "none":
        return list(range(count))
    if by == "random_k":
        return sorted(random.Random(seed).sample(range(count), min(rule["k"], count)))
    k = rule["k"] if by == "top_k" else math.ceil(count * (1 - rule["quantile"]))
    best = sorted(range(count), key=scores.__getitem__, reverse=True)  # stable: of equal scores the earlier
    return sorted(best[:k])


def new_positions(held: Iterable[Hashable], keys: Sequence[Hashable], allow_overlap: bool) -> list[int]:
    """Positions of the chosen samples that are added to D_gen (lines 6 to 9).

    held  the keys of D_gen's samples, by `triplets.duplicate_key` as `keys`

    >>> new_positions({"a"}, ["a", "b", "b"], allow_overlap=False)
    [1]
    """
    if allow_overlap:
        return list(range(len(keys)))
    seen, added = set(held), []
    for position, key in enumerate(keys):
        if key not in seen:
            seen.add(key)
            added.append(position)
    return added
