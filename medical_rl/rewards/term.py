"""One term of a mix: its function, weight, parameters and largest value, read from YAML and tried before use."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from medical_rl.errors import UserError, WrongKind, unknown
from medical_rl.parsing.response import Response, parse
from medical_rl.rewards import MAXIMUM, REWARDS
from medical_rl.rewards.user_functions import user_term
from medical_rl.sample import KINDS, Sample

SERVICES = ("judge", "reward_model")
_OWN = ("fn", "signature", "max", "weight")  # settings of a user's term that are not handed to it


@dataclass(frozen=True)
class Term:
    """A term ready to be called: `await` the call's result where it is awaitable."""

    name: str
    weight: float
    function: Callable
    parameters: Mapping
    needs: tuple[str, ...] = ()
    most: float | Callable | None = None

    def __call__(self, response: Response, sample: Sample, services: Mapping):
        """The function's raw value, or an awaitable of it."""
        if not self.needs:
            return self.function(response, sample, **self.parameters)
        return self.function(response, sample, **self.parameters, **{n: services[n] for n in self.needs})

    def maximum(self, sample: Sample) -> float:
        """The largest raw value for this sample."""
        return float(self.most(sample, **self.parameters) if callable(self.most) else self.most)


def read_term(name: str, given: Mapping | None) -> Term:
    """The term that YAML describes; UserError for an unknown one, a parameter it has not, or no weight."""
    settings = dict(given or {})
    if "weight" not in settings:
        raise UserError(f"The reward term {name!r} has no weight: write {name}: {{weight: 1.0}}.")
    weight = number(settings.pop("weight"), f"the weight of the reward term {name!r}")
    if "fn" in settings:
        function = user_term(settings["fn"], settings.get("signature"))
        kept = {key: value for key, value in settings.items() if key not in _OWN}
        most = settings.get("max")
        return Term(
            name,
            weight,
            function,
            kept,
            most=None if most is None else number(most, f"max of the reward term {name!r}"),
        )
    if name not in REWARDS:
        error = unknown("reward term", name, REWARDS)
        raise UserError(
            f"{error} A function of yours is named by {name}: {{fn: package.module:function, weight: {weight}}}."
        )
    parameters = list(inspect.signature(REWARDS[name]).parameters.values())[2:]
    needs = tuple(p.name for p in parameters if p.name in SERVICES)
    allowed = [p.name for p in parameters if p.name not in SERVICES]
    for parameter in settings:
        if parameter not in allowed:
            raise unknown(f"parameter of the reward term {name!r} named", parameter, [*allowed, "weight"])
    _check_types(name, settings, parameters)
    term = Term(name, weight, REWARDS[name], settings, needs, MAXIMUM.get(name))
    try_parameters(term)
    return term


def number(value, what: str) -> float:
    """`value` as a finite float; UserError, naming `what` it is, for anything else."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found) or isinstance(value, bool):
        raise UserError(f"{what} is {value!r}; a finite number is needed.")
    return found


def _check_types(name: str, settings: Mapping, parameters: list[inspect.Parameter]) -> None:
    """None; UserError for a value of another type than the parameter's default."""
    defaults = {p.name: p.default for p in parameters}
    for parameter, value in settings.items():
        what, default = f"The parameter {parameter} of the reward term {name!r}", defaults[parameter]
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise UserError(f"{what} is {value!r}; true or false is needed.")
        elif isinstance(default, (int, float)) or (default is None and value is not None):
            number(value, what)
        elif isinstance(default, str) and not isinstance(value, str):
            raise UserError(f"{what} is {value!r}; a text is needed.")


class _Anything:
    """Stands in for a judge and a reward model while a term's parameters are tried: it answers at once."""

    verdict = "sound"

    async def score(self, sample: Sample, text: str) -> float:
        return 0.0

    async def consistency(self, **asked) -> _Anything:
        return self


def try_parameters(term: Term) -> None:
    """None; UserError for a parameter's value that its term refuses, found before any training."""
    for kind in KINDS:
        answer = {"grade": "1", "box": "[0, 0, 1, 1]", "yes_no": "yes"}.get(kind, "a")
        full = Sample(
            "",
            "",
            "?",
            kind,
            answer,
            choices=("a", "b"),
            images=(b"",),
            concepts=("a",),
            knowledge="a",
            size=(56, 56),
        )
        response = parse(f"<think>a</think><answer>{answer}</answer>")
        try:
            value = term(response, full, dict.fromkeys(SERVICES, _Anything()))
            if inspect.iscoroutine(value):
                try:
                    value.send(None)  # the stand-in answers at once, so nothing is waited for
                except StopIteration:
                    pass
                finally:
                    value.close()
            return
        except WrongKind:
            continue  # a term for another kind of answer
        except (TypeError, ValueError) as error:
            raise UserError(
                f"The reward term {term.name!r} cannot be used with the parameters {dict(term.parameters)}: {error}."
            ) from error
