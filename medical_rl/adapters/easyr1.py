"""EasyR1's batch reward: `worker.reward.reward_function=<this file>:compute_score`.

The mix is chosen by `worker.reward.reward_function_kwargs`: {"overrides":
["conf/rewards=medfact_r1_offline"]}. `python -c "import medical_rl.adapters.easyr1 as m; print(m.__file__)"`
prints this file's path.
"""

import functools
from collections.abc import Mapping, Sequence

from medical_rl.rewards.load import load_mix
from medical_rl.rewards.score import sample_of, score_all

REWARD_NAME = "medical_rl"
REWARD_TYPE = "batch"


def compute_score(reward_inputs: Sequence[Mapping], overrides: Sequence[str] = ()) -> list[dict[str, float]]:
    """[{"overall": total, "accuracy", "<term>": raw value, "<term>_failed"}] of a batch of EasyR1's items.

    `accuracy` is the strict one, unless the mix has a term of that name.
    EasyR1 neither mends failed terms nor stops for them: they add nothing. An item has `response` and
    `ground_truth`; kind, choices and the like are read where EasyR1 hands them on.
    """
    mix = _mix(tuple(overrides))
    responses, scores = [], []
    for item in reward_inputs:
        responses.append((str(item["response"]), sample_of(item)))
    for result in score_all(mix, responses):
        score = {"overall": result["score"], "accuracy": result["acc"]}
        for name in mix.terms:
            score[name] = result[name]
            score[f"{name}_failed"] = result[f"{name}/failed"]
        scores.append(score)
    return scores


@functools.cache
def _mix(overrides: tuple[str, ...]):
    return load_mix(overrides)[0]
