"""Reward terms: one pure function a file, listed in `REWARDS`; mixes are YAML (conf/rewards), read by `mix`.

A term is `(response, sample, **parameters) -> float` in a documented range, where `response` is a
`medical_rl.parsing.response.Response`. What it cannot do without (a judge, a reward model) is a keyword-only
parameter without a default, and such a term is `async`. To add one: write `rewards/<name>.py`, list it
here with its largest value, and name it under `terms:` of a mix. Functions of users need no entry: `fn:`
in a mix names them (see `functions`). Nothing here imports torch.
"""

from medical_rl.rewards.terms import consistency as _consistency
from medical_rl.rewards.terms import fact as _fact
from medical_rl.rewards.terms import learned as _learned
from medical_rl.rewards.terms import lexical_consistency as _lexical
from medical_rl.rewards.terms import recitation as _recitation
from medical_rl.rewards.terms.accuracy import accuracy
from medical_rl.rewards.terms.detection import detection
from medical_rl.rewards.terms.format import format_reward
from medical_rl.rewards.terms.mfrs import mfrs
from medical_rl.rewards.terms.outcome import outcome

REWARDS = {
    "accuracy": accuracy,
    "consistency": _consistency.consistency,
    "detection": detection,
    "fact": _fact.fact,
    "format": format_reward,
    "learned": _learned.learned,
    "lexical_consistency": _lexical.lexical_consistency,
    "mfrs": mfrs,
    "outcome": outcome,
    "recitation": _recitation.recitation,
}
# The largest value of each term, for `combine: normalised_sum`: a number, or a function of (sample, **parameters).
MAXIMUM = {
    "accuracy": 1.0,
    "consistency": _consistency.maximum,
    "detection": 1.0,
    "fact": _fact.maximum,
    "format": 1.0,
    "learned": _learned.maximum,
    "lexical_consistency": _lexical.maximum,
    "mfrs": 1.0,
    "outcome": 1.0,
    "recitation": _recitation.maximum,
}
