"""A mix of reward terms, composed from config: raw terms kept, weights only in YAML.

terms: {accuracy: {weight: 0.9}, format: {weight: 0.1, form: boxed}}
terms: {fact: false}      # left out, whether the file has it or not: what an ablation writes
combine: sum              # sum of weight * term
combine: normalised_sum   # the same divided by sum of weight * the term's maximum
on_failure: group_mean    # a failed term takes its mean over the group's other samples
on_failure: drop_sample   # the sample takes no part in its group
max_failure_rate: 0.2     # a term that failed for more of the last samples stops the run: see `failures`
reading: strict           # the answer is what stands in the last mark outside the thought
reading: lenient          # where there is none, a mark in the thought or the bare text counts too
"""

import asyncio
import copy
import inspect
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from medical_rl.errors import BudgetMet, RewardFailed, UserError, check_known
from medical_rl.parsing.response import PARSERS, Response, parse
from medical_rl.rewards import REWARDS
from medical_rl.rewards.term import Term, finite_number, read_term
from medical_rl.rewards.terms.accuracy import accuracy, detection
from medical_rl.sample import Sample

LOG = logging.getLogger(__name__)
_SAID: set[str] = set()  # terms of which this process has said that they do not apply to some row
COMBINE = ("sum", "normalised_sum")
ON_FAILURE = ("group_mean", "drop_sample")
# Keys of results and metrics beside the terms' own.
RESERVED = frozenset(("score", "acc", "reward", "total"))
SETTINGS = ("terms", "combine", "on_failure", "max_failure_rate", "reading")


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
        reading: str = "strict",
    ):
        """Raises UserError for an unknown term, parameter or combination, or a term without a weight."""
        self.combine, self.on_failure, self.reading = combine, on_failure, reading
        self.max_failure_rate = finite_number(max_failure_rate, "conf.rewards.max_failure_rate")
        self.terms: dict[str, Term] = {}
        for name, settings in (terms or {}).items():
            if settings is not False:
                self.terms[name] = read_term(name, settings)
        self.services: dict[str, object] = {}
        self.on_failed: Callable[[str, Sample, RewardFailed], None] = lambda name, sample, error: None
        self._check()

    @classmethod
    def from_config(cls, rewards: Mapping) -> "Mix":
        """The mix of a `conf/rewards` file; UserError for a key that such a file does not have."""
        for key in rewards:
            check_known("setting of a reward mix named", key, SETTINGS)
        return cls(**{"terms": {}, **rewards})

    def _check(self) -> None:
        """Raise UserError for a mix that could not be used, before anything is scored."""
        if not self.terms:
            raise UserError(f"The reward mix has no terms. Available: {', '.join(REWARDS)}.")
        check_known("way to combine rewards", self.combine, COMBINE)
        check_known("way to treat a failed reward", self.on_failure, ON_FAILURE)
        check_known("reading of answers (conf.rewards.reading)", self.reading, PARSERS)
        for name in RESERVED.intersection(self.terms):
            raise UserError(
                f"A reward term cannot be named {name!r}, which results use themselves. Give it another name."
            )
        if not 0 <= self.max_failure_rate <= 1:
            raise UserError(
                f"conf.rewards.max_failure_rate={self.max_failure_rate} is no share between 0 and 1."
            )
        if self.combine == "normalised_sum":
            _check_maxima(self.terms.values())

    @property
    def weights(self) -> dict[str, float]:
        """{term: its weight}."""
        return {name: term.weight for name, term in self.terms.items()}

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that `score` returns, on every path."""
        keys = ["score", "acc"]
        for name, term in self.terms.items():
            keys += [name, f"{name}/weighted", f"{name}/failed"]
            if "judge" in term.needs:
                keys.append(f"{name}/budget")
            if self.combine == "normalised_sum":
                keys.append(f"{name}/max")
        return tuple(keys)

    @property
    def needs(self) -> frozenset[str]:
        """Names of the services that the mix asks."""
        return frozenset(name for term in self.terms.values() for name in term.needs)

    def without(self, services: Iterable[str]) -> "Mix":
        """This mix without the terms that ask one of `services`; it may have none left."""
        smaller = copy.copy(self)
        smaller.terms = {n: term for n, term in self.terms.items() if not set(term.needs) & set(services)}
        return smaller

    async def score(self, text: str, sample: Sample) -> dict[str, float]:
        """{"score": total, "acc": accuracy, "<term>": raw, "<term>/weighted", "<term>/failed"}.

        A term that asks a judge has "<term>/budget" too: 1.0 where it failed because the budget was met.

        A term that does not apply to the row is 0 and left out of the normalised sum, as its maximum is 0.

        A term that raises RewardFailed is marked failed (1.0) and adds nothing here; the trainer,
        which knows the group, puts the group's mean in its place. `acc` is the strict accuracy, whatever
        the mix rewards.
        """
        response = parse(text)
        rewarded = response if self.reading == "strict" else PARSERS[self.reading](text)
        values = await self._raw_values(rewarded, sample)
        return self._result(values, self._accuracy(response, sample), sample)

    def failed_result(self, sample: Sample, error: RewardFailed) -> dict[str, float]:
        """The result of a response that could not be scored at all: every term failed, nothing right."""
        for name in self.terms:
            self.on_failed(name, sample, error)
        return self._result(dict.fromkeys(self.terms, error), 0.0, sample)

    def _result(
        self, values: Mapping[str, float | RewardFailed], accuracy: float, sample: Sample
    ) -> dict[str, float]:
        result = {"score": 0.0, "acc": accuracy}
        for name, term in self.terms.items():
            value = values[name]
            has_failed = isinstance(value, RewardFailed)
            result[name] = 0.0 if has_failed else value
            result[f"{name}/weighted"] = term.weight * result[name]
            result[f"{name}/failed"] = float(has_failed)
            if "judge" in term.needs:
                result[f"{name}/budget"] = float(isinstance(value, BudgetMet))
            if self.combine == "normalised_sum":
                result[f"{name}/max"] = term.maximum(sample)
        result["score"] = self.total(result)
        return result

    async def _raw_values(self, response: Response, sample: Sample) -> dict[str, float | RewardFailed]:
        """{term: its raw value, or why it failed}; those that wait are waited for together."""
        values, waiting = {}, {}
        for name, term in self.terms.items():
            if not term.applies(sample):
                values[name] = 0.0
                self._say_once(name, sample)
                continue
            try:
                value = term(response, sample, self.services)
            except RewardFailed as error:
                value = error
            if inspect.isawaitable(value):
                waiting[name] = value
            else:
                values[name] = value
        results = await asyncio.gather(*waiting.values(), return_exceptions=True) if waiting else ()
        for name, value in zip(waiting, results, strict=True):
            broken = isinstance(value, Exception) and not isinstance(value, RewardFailed)
            if broken and self.terms[name].needs:
                # whatever a client raises (a lost actor, an image that cannot be sent), nothing was judged
                value = RewardFailed(f"{type(value).__name__}: {value}")
            values[name] = value
        for name, value in values.items():
            if isinstance(value, RewardFailed):
                self.on_failed(name, sample, value)
            elif isinstance(value, BaseException):
                raise value
            else:
                values[name] = float(value)
        return values

    def check_applied(self, lacking: Mapping[str, int], count: int) -> None:
        """Raise UserError for a term that applies to none of `count` rows; `lacking` has those it does not."""
        for name, number in lacking.items():
            if number == count:
                raise UserError(
                    f"The reward term {name!r} applies to none of the {count:,} rows (fact counts concepts: each row "
                    "has none). Prepare the data with concepts (`python -m medical_rl.data concepts DIR` asks a "
                    f"judge for them), or leave the term out: ~conf.rewards.terms.{name}."
                )

    def _say_once(self, name: str, sample: Sample) -> None:
        """Log the first row that a term does not apply to: a set none of whose rows it applies to looks the same."""
        if name not in _SAID:
            _SAID.add(name)
            LOG.warning(
                "The row %r of %s has nothing for the reward term %r to look for (fact: no concepts). The term is left "
                "out of its reward, and of that of every such row.", sample.id, sample.source, name,
            )  # fmt: skip

    def _accuracy(self, response: Response, sample: Sample) -> float:
        """1.0 if the answer is right; boxes are read in the frame that the detection term names."""
        if sample.kind == "box":
            for term in self.terms.values():
                if term.function is detection:
                    strict = {**term.parameters, "continuous": False}
                    return float(detection(response, sample, **strict) == 1.0)
        return accuracy(response, sample)

    def total(self, result: Mapping[str, float]) -> float:
        """The combined reward of a result's raw terms; a failed term is left out."""
        total = scale = 0.0
        for name, term in self.terms.items():
            if not result[f"{name}/failed"]:
                total += term.weight * result[name]
                scale += term.weight * result.get(f"{name}/max", 0.0)
        if self.combine == "normalised_sum":
            return total / scale if scale else 0.0
        return total

    def with_group_means(
        self, results: Sequence[Mapping[str, float]], groups: Sequence[str]
    ) -> list[dict[str, float]]:
        """`results` with each failed term at its group's mean over the others, and the totals that follow.

        `groups` has the group of each result: the samples of one prompt, whose rewards are compared. A term
        that failed in the whole group is left out of it. So an outage neither rewards nor punishes a sample
        against its group.
        """
        values: dict[tuple[str, str], list[float]] = defaultdict(list)
        for result, group in zip(results, groups, strict=True):
            for name in self.terms:
                if not result[f"{name}/failed"]:
                    values[group, name].append(result[name])
        mended = []
        for result, group in zip(results, groups, strict=True):
            new = dict(result)
            for name, term in self.terms.items():
                others = values[group, name]
                if result[f"{name}/failed"] and others:
                    mean = sum(others) / len(others)
                    new |= {name: mean, f"{name}/weighted": term.weight * mean, f"{name}/failed": 0.0}
            new["score"] = self.total(new)
            mended.append(new)
        return mended

    def dropped_samples(self, results: Sequence[Mapping[str, float]], groups: Sequence[str]) -> list[bool]:
        """Which samples `on_failure: drop_sample` takes out of their groups.

        Those with a failed term that others of the group have (a term that failed in the whole group is left
        out of it), and then a sample left alone: with nobody to be compared with, its own reward would be its
        advantage.
        """
        if self.on_failure != "drop_sample":
            return [False] * len(results)
        known = set()
        for result, group in zip(results, groups, strict=True):
            known.update((group, name) for name in self.terms if not result[f"{name}/failed"])
        dropped, remaining, sizes = [], Counter(), Counter(groups)
        for result, group in zip(results, groups, strict=True):
            is_dropped = any(result[f"{name}/failed"] and (group, name) in known for name in self.terms)
            dropped.append(is_dropped)
            remaining[group] += not is_dropped
        return [out or (remaining[g] == 1 < sizes[g]) for g, out in zip(groups, dropped, strict=True)]


def _check_maxima(terms: Iterable[Term]) -> None:
    """Raise UserError for terms by whose largest values `combine: normalised_sum` cannot divide."""
    advice = {}
    for term in terms:
        if term.weight < 0:
            raise UserError(
                "combine: normalised_sum divides by the sum of weights times largest values, which the "
                f"negative weight of {term.name} would turn round. Use combine: sum, or give the term "
                "negative values."
            )
        if term.largest is None:
            advice[term.name] = "add max: <number> to the term"
            if REWARDS.get(term.name) is term.function:
                function, file = term.function.__name__, term.function.__module__.replace(".", "/")
                advice[term.name] = f"declare {function}.maximum = <number> in {file}.py"
    if advice:
        raise UserError(
            "combine: normalised_sum divides by each term's largest value, which is not known of "
            f"{', '.join(advice)}: {'; '.join(dict.fromkeys(advice.values()))}."
        )
