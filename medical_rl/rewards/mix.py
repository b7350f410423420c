"""A mix of reward terms, composed from config: raw terms kept, weights only in YAML.

terms: {accuracy: {weight: 0.9}, format: {weight: 0.1, form: boxed}}
combine: sum              # sum of weight * term
combine: normalised_sum   # the same divided by sum of weight * the term's maximum
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from medical_rl.answers import parse
from medical_rl.errors import RewardFailed, UserError, WrongKind, unknown
from medical_rl.rewards import MAXIMUM, REWARDS
from medical_rl.rewards.accuracy import accuracy
from medical_rl.sample import KINDS, Sample

COMBINE = ("sum", "normalised_sum")


class Mix:
    """Terms with weights and parameters; `await mix.score(text, sample)` gives one fixed set of keys."""

    def __init__(self, terms: Mapping[str, Mapping], combine: str = "sum"):
        """Raises UserError for an unknown term, parameter or combination, or a term without a weight."""
        if not terms:
            raise UserError(f"The reward mix has no terms. Available: {', '.join(REWARDS)}.")
        if combine not in COMBINE:
            raise unknown("way to combine rewards", combine, COMBINE)
        self.combine = combine
        self.functions, self.parameters, self.weights = {}, {}, {}
        for name, given in terms.items():
            if name not in REWARDS:
                raise unknown("reward term", name, REWARDS)
            settings = dict(given or {})
            if "weight" not in settings:
                raise UserError(f"The reward term {name!r} has no weight: write {name}: {{weight: 1.0}}.")
            self.weights[name] = float(settings.pop("weight"))
            self.functions[name] = REWARDS[name]
            self.parameters[name] = settings
            allowed = list(inspect.signature(REWARDS[name]).parameters)[2:]
            for parameter in settings:
                if parameter not in allowed:
                    raise unknown(f"parameter of the reward term {name!r} named", parameter, [*allowed, "weight"])

        self._try_parameters()

    def _try_parameters(self) -> None:
        """None; UserError for a parameter's value that its term refuses, found before any training."""
        empty = parse("")
        for name, function in self.functions.items():
            if inspect.iscoroutinefunction(function):
                continue  # it may ask a judge
            for kind in KINDS:
                try:
                    function(
                        empty, Sample(id="", source="", question="", kind=kind, answer=""), **self.parameters[name]
                    )
                    break
                except WrongKind:
                    continue  # a term for another kind of answer

    @classmethod
    def from_config(cls, rewards: Mapping) -> Mix:
        """The mix of a `conf/rewards` file."""
        for key in rewards:
            if key not in ("terms", "combine"):
                raise unknown("setting of a reward mix named", key, ("terms", "combine"))
        return cls(rewards["terms"], rewards.get("combine", "sum"))

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that `score` returns, on every path."""
        return ("score", "acc", *(f"{name}{part}" for name in self.weights for part in ("", "/weighted", "/failed")))

    async def score(self, text: str, sample: Sample) -> dict[str, float]:
        """{"score": total, "acc": accuracy, "<term>": raw, "<term>/weighted", "<term>/failed"}.

        A term that raises RewardFailed is marked failed (1.0) and adds nothing here; the trainer,
        which knows the group, puts the group's mean in its place.
        """
        response = parse(text)
        raw, failed = {}, {}
        for name, function in self.functions.items():
            try:
                value = function(response, sample, **self.parameters[name])
                raw[name] = float(await value if inspect.isawaitable(value) else value)
                failed[name] = 0.0
            except RewardFailed:
                raw[name], failed[name] = 0.0, 1.0
        result = {"score": self.total(raw, failed), "acc": accuracy(response, sample)}
        for name in self.weights:
            result |= {
                name: raw[name],
                f"{name}/weighted": self.weights[name] * raw[name],
                f"{name}/failed": failed[name],
            }
        return result

    def total(self, raw: Mapping[str, float], failed: Mapping[str, float]) -> float:
        """The combined reward of raw terms; a failed term is left out."""
        kept = [name for name in self.weights if not failed[name]]
        value = sum(self.weights[name] * raw[name] for name in kept)
        if self.combine == "normalised_sum":
            scale = sum(self.weights[name] * MAXIMUM[name] for name in kept)
            value = value / scale if scale else 0.0
        return value

    def with_group_means(self, results: list[dict[str, float]], groups: list[str]) -> list[float]:
        """The totals of `results`, each failed term replaced by its mean over the group's other samples.

        A term that failed in the whole group is left out of it. So an outage neither rewards
        nor punishes a sample against its group.
        """
        totals = []
        for result, group in zip(results, groups, strict=True):
            raw = {name: result[name] for name in self.weights}
            failed = {name: result[f"{name}/failed"] for name in self.weights}
            for name in self.weights:
                others = [
                    r[name] for r, g in zip(results, groups, strict=True) if g == group and not r[f"{name}/failed"]
                ]
                if failed[name] and others:
                    raw[name], failed[name] = sum(others) / len(others), 0.0
            totals.append(self.total(raw, failed))
        return totals
