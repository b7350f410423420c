"""What a reward mix may be told, and what cannot be: refused when it is composed, before anything is scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from medical_rl.errors import UserError, unknown
from medical_rl.rewards import REWARDS
from medical_rl.rewards.term import Term

COMBINE = ("sum", "normalised_sum")
ON_FAILURE = ("group_mean", "drop_sample")
# Keys of results and metrics beside the terms' own.
RESERVED = frozenset(("score", "acc", "reward", "total"))
SETTINGS = ("terms", "combine", "on_failure", "max_failure_rate")


def refuse_unknown(settings: Iterable[str]) -> None:
    """None; UserError for a key that a `conf/rewards` file does not have."""
    for key in settings:
        if key not in SETTINGS:
            raise unknown("setting of a reward mix named", key, SETTINGS)


def refuse_unusable(
    terms: Mapping[str, Term], combine: str, on_failure: str, max_failure_rate: float
) -> None:
    """None; UserError for a mix without terms, an unknown way, a name that results use themselves, a figure that is none."""
    if not terms:
        raise UserError(f"The reward mix has no terms. Available: {', '.join(REWARDS)}.")
    if combine not in COMBINE:
        raise unknown("way to combine rewards", combine, COMBINE)
    if on_failure not in ON_FAILURE:
        raise unknown("way to treat a failed reward", on_failure, ON_FAILURE)
    for name in RESERVED.intersection(terms):
        raise UserError(
            f"A reward term cannot be named {name!r}, which results use themselves. Give it another name."
        )
    if not 0 <= max_failure_rate <= 1:
        raise UserError(f"conf.rewards.max_failure_rate={max_failure_rate} is no share between 0 and 1.")
    if combine == "normalised_sum":
        _refuse_without_scale(terms)


def _refuse_without_scale(terms: Mapping[str, Term]) -> None:
    if unbounded := [name for name, term in terms.items() if term.most is None]:
        raise UserError(
            f"combine: normalised_sum divides by each term's largest value, which is not known of {', '.join(unbounded)}: "
            "add max: <number> to the term."
        )
    if below := [name for name, term in terms.items() if term.weight < 0]:
        raise UserError(
            f"combine: normalised_sum divides by the sum of weights times largest values, which the negative weight of {', '.join(below)} "
            "would turn round. Use combine: sum, or give the term negative values."
        )
