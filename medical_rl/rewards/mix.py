"""A mix of reward terms, composed from config: raw terms kept, weights only in YAML.

terms: {accuracy: {weight: 0.9}, format: {weight: 0.1, form: boxed}}
terms: {fact: false}      # left out, whether the file has it or not: what an ablation writes
combine: sum              # sum of weight * term
combine: normalised_sum   # the same divided by sum of weight * the term's maximum
on_failure: group_mean    # a failed term takes its mean over the group's other samples
on_failure: drop_sample   # the sample takes no part in its group
max_failure_rate: 0.2     # a term that failed for a larger share of the last samples stops the run: see `failures`
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence

from medical_rl.errors import BudgetMet, RewardFailed
from medical_rl.parsing.response import Response, parse
from medical_rl.rewards import failures, mix_settings
from medical_rl.rewards.term import number, read_term
from medical_rl.rewards.terms.accuracy import accuracy
from medical_rl.rewards.terms.detection import detection
from medical_rl.sample import Sample


class Mix:
    """Terms with weights and parameters; `await mix.score(text, sample)` gives one fixed set of keys.

    services    what terms ask: {"judge": Judge, "reward_model": client}; `needs` names those wanted
    on_failed   called with (term, sample, error) for each term that fails
    """

    def __init__(
        self,
        terms: Mapping[str, Mapping],
        combine: str = "sum",
        on_failure: str = "group_mean",
        max_failure_rate: float = 0.2,
    ):
        """Raises UserError for an unknown term, parameter or combination, or a term without a weight."""
        self.combine, self.on_failure = combine, on_failure
        self.max_failure_rate = number(max_failure_rate, "conf.rewards.max_failure_rate")
        self.terms = {
            name: read_term(name, given) for name, given in (terms or {}).items() if given is not False
        }
        self.weights = {name: term.weight for name, term in self.terms.items()}
        self.services: dict[str, object] = {}
        self.on_failed: Callable[[str, Sample, RewardFailed], None] = lambda name, sample, error: None
        mix_settings.refuse_unusable(self.terms, combine, on_failure, self.max_failure_rate)

    @classmethod
    def from_config(cls, rewards: Mapping) -> Mix:
        """The mix of a `conf/rewards` file."""
        mix_settings.refuse_unknown(rewards)
        return cls(**{"terms": {}, **rewards})

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that `score` returns, on every path."""
        found = ["score", "acc"]
        for name, term in self.terms.items():
            found += [name, f"{name}/weighted", f"{name}/failed"]
            found += [f"{name}/budget"] if "judge" in term.needs else []
            found += [f"{name}/max"] if self.combine == "normalised_sum" else []
        return tuple(found)

    @property
    def needs(self) -> frozenset[str]:
        """Names of the services that the mix asks."""
        return frozenset(n for term in self.terms.values() for n in term.needs)

    def without(self, services: Iterable[str]) -> Mix:
        """This mix without the terms that ask one of `services`; it may have none left."""
        left = copy.copy(self)
        left.terms = {name: term for name, term in self.terms.items() if not set(term.needs) & set(services)}
        left.weights = {name: term.weight for name, term in left.terms.items()}
        return left

    async def score(self, text: str, sample: Sample) -> dict[str, float]:
        """{"score": total, "acc": accuracy, "<term>": raw, "<term>/weighted", "<term>/failed"}.

        A term that asks a judge has "<term>/budget" too: 1.0 where it failed because the budget was met.

        A term that raises RewardFailed is marked failed (1.0) and adds nothing here; the trainer,
        which knows the group, puts the group's mean in its place. `acc` is the strict accuracy, whatever
        the mix rewards.
        """
        response = parse(text)
        raw = await self._raw(response, sample)
        return self._result(raw, self._right(response, sample), sample)

    def failed(self, sample: Sample, error: RewardFailed) -> dict[str, float]:
        """The result of a response that could not be scored at all: every term failed, nothing right."""
        for name in self.terms:
            self.on_failed(name, sample, error)
        return self._result(dict.fromkeys(self.terms, error), 0.0, sample)

    def _result(
        self, raw: Mapping[str, float | RewardFailed], right: float, sample: Sample
    ) -> dict[str, float]:
        result = {"score": 0.0, "acc": right}
        for name, term in self.terms.items():
            lost = isinstance(raw[name], RewardFailed)
            result[name] = 0.0 if lost else raw[name]
            result[f"{name}/weighted"] = term.weight * result[name]
            result[f"{name}/failed"] = float(lost)
            if "judge" in term.needs:
                result[f"{name}/budget"] = float(isinstance(raw[name], BudgetMet))
            if self.combine == "normalised_sum":
                result[f"{name}/max"] = term.maximum(sample)
        result["score"] = self.total(result)
        return result

    async def _raw(self, response: Response, sample: Sample) -> dict[str, float | RewardFailed]:
        """Each term's raw value, or why it failed; those that wait are waited for together."""
        raw, waiting = {}, {}
        for name, term in self.terms.items():
            try:
                value = term(response, sample, self.services)
            except RewardFailed as error:
                self.on_failed(name, sample, error)
                raw[name] = error
                continue
            if inspect.isawaitable(value):
                waiting[name] = value
            else:
                raw[name] = float(value)
        if waiting:
            found = await asyncio.gather(*waiting.values(), return_exceptions=True)
            for name, value in zip(waiting, found, strict=True):
                if (
                    isinstance(value, Exception)
                    and self.terms[name].needs
                    and not isinstance(value, RewardFailed)
                ):
                    # whatever a client raises (a lost actor, an image that cannot be sent), nothing was judged
                    value = RewardFailed(f"{type(value).__name__}: {value}")
                if isinstance(value, RewardFailed):
                    self.on_failed(name, sample, value)
                elif isinstance(value, BaseException):
                    raise value
                raw[name] = value if isinstance(value, RewardFailed) else float(value)
        return raw

    def _right(self, response: Response, sample: Sample) -> float:
        """1.0 if the answer is right; boxes are read in the frame that the detection term names."""
        term = next((t for t in self.terms.values() if t.function is detection), None)
        if sample.kind == "box" and term:
            return float(term.function(response, sample, **{**term.parameters, "continuous": False}) == 1.0)
        return accuracy(response, sample)

    def total(self, result: Mapping[str, float]) -> float:
        """The combined reward of a result's raw terms; a failed term is left out."""
        kept = [name for name in self.weights if not result[f"{name}/failed"]]
        value = sum(self.weights[name] * result[name] for name in kept)
        if self.combine == "normalised_sum":
            scale = sum(self.weights[name] * result[f"{name}/max"] for name in kept)
            value = value / scale if scale else 0.0
        return value

    def with_group_means(
        self, results: Sequence[Mapping[str, float]], groups: Sequence[str]
    ) -> list[dict[str, float]]:
        """`results` with each failed term at its mean over the group's other samples, and the totals that follow.

        A term that failed in the whole group is left out of it. So an outage neither rewards
        nor punishes a sample against its group.
        """
        mended = failures.at_group_means(results, groups, self.weights)
        return [result | {"score": self.total(result)} for result in mended]

    def dropped(self, results: Sequence[Mapping[str, float]], groups: Sequence[str]) -> list[bool]:
        """Which samples `on_failure: drop_sample` takes out of their groups; see `lost_terms.out_of_groups`."""
        if self.on_failure != "drop_sample":
            return [False] * len(results)
        return failures.out_of_groups(results, groups, self.weights)
