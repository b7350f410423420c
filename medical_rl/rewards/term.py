"""One term of a mix: function, weight, parameters and largest value, read from YAML and tried once."""

import contextlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from medical_rl.errors import UserError, WrongKind, check_known, unknown
from medical_rl.parsing.response import Response, parse
from medical_rl.rewards import REWARDS
from medical_rl.rewards.user_functions import user_term
from medical_rl.sample import KINDS, Sample

SERVICES = ("judge", "reward_model")
_OWN = ("fn", "signature", "max", "weight")  # settings of a user's term that are not handed to it


@dataclass(frozen=True)
class Term:
    """A term ready to be called: `await` the call's result where it is awaitable.

    needs    the services that it asks, handed to it by name
    largest  its largest value, or a function of (sample, **parameters); None where it is not known
    """

    name: str
    weight: float
    function: Callable
    parameters: Mapping
    needs: tuple[str, ...] = ()
    largest: float | Callable | None = None

    def __call__(self, response: Response, sample: Sample, services: Mapping):
        """The function's raw value, or an awaitable of it."""
        arguments = dict(self.parameters)
        for name in self.needs:
            arguments[name] = services[name]
        return self.function(response, sample, **arguments)

    def applies(self, sample: Sample) -> bool:
        """False where the row lacks what the term is about (concepts, for `fact`): it has no such term then."""
        applies = getattr(self.function, "applies", None)
        return applies is None or applies(sample)

    def maximum(self, sample: Sample) -> float:
        """The largest raw value for this sample; 0 where the term does not apply to it."""
        if not self.applies(sample):
            return 0.0
        return float(self.largest(sample, **self.parameters) if callable(self.largest) else self.largest)


def read_term(name: str, settings: Mapping | None) -> Term:
    """The term that YAML describes.

    Raises UserError for an unknown one, a parameter it has not, a value it refuses, or no weight.
    """
    settings = dict(settings or {})
    if "weight" not in settings:
        raise UserError(f"The reward term {name!r} has no weight: write {name}: {{weight: 1.0}}.")
    weight = finite_number(settings.pop("weight"), f"the weight of the reward term {name!r}")
    if "fn" in settings:
        function = user_term(settings["fn"], settings.get("signature"))
        parameters = {key: value for key, value in settings.items() if key not in _OWN}
        largest = settings.get("max")
        if largest is not None:
            largest = finite_number(largest, f"max of the reward term {name!r}")
        return Term(name, weight, function, parameters, largest=largest)
    if name not in REWARDS:
        error = unknown("reward term", name, REWARDS)
        raise UserError(
            f"{error} A function of yours is named by {name}: "
            f"{{fn: package.module:function, weight: {weight}}}."
        )
    function = REWARDS[name]
    defaults, needs = {}, []
    for parameter in list(inspect.signature(function).parameters.values())[2:]:
        if parameter.name in SERVICES:
            needs.append(parameter.name)
        else:
            defaults[parameter.name] = parameter.default
    for parameter, value in settings.items():
        allowed = [*defaults, "weight"]
        check_known(f"parameter of the reward term {name!r} named", parameter, allowed)
        _check_type(f"The parameter {parameter} of the reward term {name!r}", value, defaults[parameter])
    term = Term(name, weight, function, settings, tuple(needs), getattr(function, "maximum", None))
    _try_parameters(term)
    return term


def finite_number(value, what: str) -> float:
    """`value` as a finite float; UserError, naming `what` it is, for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or isinstance(value, bool):
        raise UserError(f"{what} is {value!r}; a finite number is needed.")
    return number


def _check_type(what: str, value, default) -> None:
    """Raise UserError for a value of another type than the parameter's default."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise UserError(f"{what} is {value!r}; true or false is needed.")
    elif isinstance(default, (int, float)) or (default is None and value is not None):
        finite_number(value, what)
    elif isinstance(default, str) and not isinstance(value, str):
        raise UserError(f"{what} is {value!r}; a text is needed.")


class _StandIn:
    """Stands in for a judge and a reward model while a term's parameters are tried: it answers at once."""

    verdict = "sound"

    async def score(self, sample: Sample, text: str) -> float:
        return 0.0

    async def consistency(self, **question) -> "_StandIn":
        return self


def _try_parameters(term: Term) -> None:
    """Score one made-up sample, of the first kind that the term is for.

    Raises UserError for a parameter's value that its term refuses, found before any training.
    """
    for kind in KINDS:
        answer = {"grade": "1", "box": "[0, 0, 1, 1]", "yes_no": "yes"}.get(kind, "a")
        fields = {"choices": ("a", "b"), "images": (b"",), "concepts": ("a",), "knowledge": "a"}
        sample = Sample("", "", "?", kind, answer, size=(56, 56), **fields)
        response = parse(f"<think>a</think><answer>{answer}</answer>")
        try:
            value = term(response, sample, dict.fromkeys(SERVICES, _StandIn()))
            if inspect.iscoroutine(value):
                with contextlib.closing(value), contextlib.suppress(StopIteration):
                    value.send(None)  # the stand-in answers at once, so nothing is waited for
            return
        except WrongKind:
            continue  # a term for another kind of answer
        except (TypeError, ValueError) as error:
            raise UserError(
                f"The reward term {term.name!r} cannot be used with the parameters {dict(term.parameters)}: "
                f"{error}."
            ) from error
