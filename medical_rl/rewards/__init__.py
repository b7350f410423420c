"""Reward terms: pure functions in `terms/`, listed in `REWARDS`; `mix` reads mixes from conf/rewards.

A term is `(response, sample, **parameters) -> float` in a documented range, where `response` is a
`medical_rl.parsing.response.Response`. What it cannot do without (a judge, a reward model) is a keyword-only
parameter without a default, and such a term is `async`. Nothing here imports torch.

To add one: write `rewards/terms/<name>.py`, which ends with the function's largest value
(`<function>.maximum`: a number, or a function of (sample, **parameters); `combine: normalised_sum` divides by
it), list it here, and name it under `terms:` of a mix. Functions of users need no entry: `fn:` in a mix names
them (see `user_functions`).
"""

from medical_rl.rewards.terms.accuracy import accuracy, detection, mfrs, outcome
from medical_rl.rewards.terms.consistency import consistency, lexical_consistency
from medical_rl.rewards.terms.fact import fact
from medical_rl.rewards.terms.format import format_reward
from medical_rl.rewards.terms.learned import learned
from medical_rl.rewards.terms.recitation import recitation

REWARDS = {
    "accuracy": accuracy,
    "consistency": consistency,
    "detection": detection,
    "fact": fact,
    "format": format_reward,
    "learned": learned,
    "lexical_consistency": lexical_consistency,
    "mfrs": mfrs,
    "outcome": outcome,
    "recitation": recitation,
}
