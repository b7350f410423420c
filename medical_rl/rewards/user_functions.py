"""Terms of users: a function named in config, in any of four signatures, as one of our terms.

fn: package.module:function, or path/to/file.py:function
signature: medical_rl  (response, sample, **kwargs) -> float
           verl        (data_source, solution_str, ground_truth, extra_info, **kwargs) -> float or {"score"}
           easyr1      ([{"response", "ground_truth", ...}], **kwargs) -> [{"overall": float}]
           trl         (prompts, completions, **columns) -> [float or None]

The signature is told by the names of the parameters; `signature:` says it where they mislead. A function that
is not `async` runs in a thread, so that it cannot hold up the others.
"""

import asyncio
import functools
import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from medical_rl.errors import RewardFailed, UserError, check_known, unknown
from medical_rl.parsing.response import Response
from medical_rl.sample import Sample

SIGNATURES = ("medical_rl", "verl", "easyr1", "trl")


def user_term(fn: str, signature: str | None = None) -> Callable:
    """A term `async (response, sample, **kwargs) -> float` that calls the user's function.

    Whatever the function raises, and None, NaN or infinity in place of a number, becomes RewardFailed: the
    sample is marked failed, not scored. Raises UserError if there is no such function.
    """
    function = load_function(fn)
    name = signature or signature_by_parameters(function, fn)
    check_known(f"signature of the reward function {fn} named", name, SIGNATURES)

    async def term(response: Response, sample: Sample, **kwargs) -> float:
        positional, named = _arguments(name, response, sample, function)
        try:
            call = functools.partial(function, *positional, **named, **kwargs)
            value = call() if inspect.iscoroutinefunction(function) else await asyncio.to_thread(call)
            if inspect.isawaitable(value):
                value = await value
            number = _number(value)
        except RewardFailed:
            raise
        except Exception as error:
            # the user's program: whatever it raises is a broken reward, never the model's fault
            raise RewardFailed(f"{fn} raised {type(error).__name__}: {error}") from error
        if number is None or not math.isfinite(number):
            raise RewardFailed(f"{fn} gave {number}, not a finite number.")
        return number

    return term


def load_function(fn: str) -> Callable:
    """The function that `package.module:function` or `path/file.py:function` names."""
    source, colon, name = str(fn).rpartition(":")
    if not colon or not source or not name:
        raise UserError(
            f"fn: {fn} names no function. Write package.module:function or path/to/file.py:function."
        )
    if source.endswith(".py"):
        module = _load_file(source, fn)
    else:
        try:
            module = importlib.import_module(source)
        except Exception as error:
            raise UserError(
                f"fn: {fn}: the module {source} cannot be imported ({type(error).__name__}: {error}). "
                "It must be installed or on PYTHONPATH; a file can be named by its path, ending in .py."
            ) from error
    function = getattr(module, name, None)
    if not callable(function):
        functions = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        raise unknown(f"function in {source} named", name, functions)
    return function


def _load_file(file: str, fn: str):
    path = Path(file).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"fn: {fn} names the file {path}, which is not there.")
    name = f"medical_rl_user_{abs(hash(str(path)))}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(
            f"fn: {fn}: the file {path} cannot be run: {type(error).__name__}: {error}."
        ) from error
    return module


def signature_by_parameters(function: Callable, fn: str) -> str:
    """The signature that the names of the function's parameters tell; UserError where they tell none."""
    names = list(inspect.signature(function).parameters)
    if {"solution_str", "ground_truth"} <= set(names):
        return "verl"
    if "completions" in names:
        return "trl"
    if names and names[0] in ("reward_inputs", "reward_input"):
        return "easyr1"
    if names[:2] == ["response", "sample"]:
        return "medical_rl"
    raise UserError(
        f"The reward function {fn} has the parameters ({', '.join(names)}), which tell none of the "
        f"signatures {', '.join(SIGNATURES)}. Add signature: <name> to its term."
    )


def _arguments(signature: str, response: Response, sample: Sample, function: Callable) -> tuple[tuple, dict]:
    """(positional, named) arguments of the function in its signature."""
    text, truth = response.text, sample.answer
    if signature == "medical_rl":
        return (response, sample), {}
    if signature == "verl":
        extra = {name: getattr(sample, name) for name in ("id", "question", "split")}
        extra = {**sample.meta, **extra, "choices": list(sample.choices)}
        named = {"data_source": sample.source, "solution_str": text, "ground_truth": truth}
        return (), {**named, "extra_info": extra}
    if signature == "easyr1":
        item = {"response": text, "response_length": len(text.split()), "ground_truth": truth}
        return ([{**item, "data_source": sample.source, "problem": sample.question}],), {}
    columns = dict.fromkeys(("answer", "solution", "ground_truth"), [truth])
    columns |= {"choices": [list(sample.choices)], "kind": [sample.kind], "prompts": [sample.question]}
    parameters = inspect.signature(function).parameters
    if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values()):
        columns = {name: column for name, column in columns.items() if name in parameters}
    return (), {**columns, "completions": [text]}


def _number(value) -> float | None:
    """The float in what a function gave back: a number, {"score"}, {"overall"}, or a list of one of these."""
    if isinstance(value, (list, tuple)):
        if len(value) != 1:
            raise RewardFailed(f"one response was given and {len(value)} rewards came back")
        value = value[0]
    if isinstance(value, Mapping):
        for key in ("score", "overall"):
            if key in value:
                return _number(value[key])
        keys = ", ".join(map(str, value))
        raise RewardFailed(f'the reward has neither "score" nor "overall"; its keys: {keys}')
    return None if value is None else float(value)
