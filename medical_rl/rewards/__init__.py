"""Reward terms: one pure function a file, listed in `REWARDS`; mixes are YAML (conf/rewards), read by `mix`.

A term is `(response, sample, **parameters) -> float` in a documented range, where
`response` is a `medical_rl.answers.Response`. To add one: write `rewards/<name>.py`,
list it here, and name it under `terms:` of a mix. Nothing here imports torch.
"""

from medical_rl.rewards.accuracy import accuracy
from medical_rl.rewards.format import format_reward
from medical_rl.rewards.mfrs import mfrs
from medical_rl.rewards.outcome import outcome

REWARDS = {
    "accuracy": accuracy,
    "format": format_reward,
    "mfrs": mfrs,
    "outcome": outcome,
}
# The largest value of each term, for `combine: normalised_sum`.
MAXIMUM = {"accuracy": 1.0, "format": 1.0, "mfrs": 1.0, "outcome": 1.0}
