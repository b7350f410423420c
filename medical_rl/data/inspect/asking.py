"""A judge asked about prepared rows from the command line: chosen by overrides, many questions at once, resumable.

What it answers is kept in `<folder>.asked/` beside the prepared folder, not in it, so that the folder's own hash stays: the same
command asks only what is missing. Limits and budget are the desk's, as in a run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medical_rl.errors import BudgetMet, RewardFailed, UserError
from medical_rl.run.progress import counting

# Questions handed to the desk at once: it decides how many are under way, and more would only take memory.
AT_ONCE = 512
# Questions after which a share of failures is believed.
ENOUGH = 20

Asked = Mapping[str, Callable[[], Awaitable[Any]]]


class AskingStopped(UserError):
    """The judge did not answer enough, or a cap was met: nothing was written, what was answered is kept."""

    exit_code = 1


def judge_for(folder: Path, overrides: Sequence[str]):
    """The `Judge` that overrides such as `conf/judge=local` choose, its files in `<folder>.asked/judge`.

    Raises UserError where none is chosen, or for a setting that could not work.
    """
    from medical_rl.judges.build import from_config
    from medical_rl.rewards.load import load_settings

    folder = folder.resolve()
    found = from_config(load_settings(overrides)["judge"], folder.with_name(f"{folder.name}.asked"))
    if found is None:
        raise UserError(
            "This asks a language model, and no judge is chosen (conf/judge=none). Add conf/judge=local, openai or gemini, and, "
            "where they differ, conf.judge.endpoint.base_url=ADDRESS and conf.judge.endpoint.model=NAME."
        )
    return found


def allowed_failures(overrides: Sequence[str]) -> float:
    """The share of questions that may fail: conf.rewards.max_failure_rate, as in training."""
    from medical_rl.rewards.load import load_settings

    return float(load_settings(overrides)["rewards"]["max_failure_rate"])


def ask_all(asked: Asked, title: str, allowed: float) -> tuple[dict[str, Any], dict[str, RewardFailed]]:
    """({key: answer}, {key: why there is none}) of questions, each a function that asks it.

    Raises AskingStopped when a cap of the budget is met, or when a larger share than `allowed` of them fail; any other error
    at once.
    """
    return asyncio.run(_ask_all(asked, title, allowed))


async def _ask_all(
    asked: Asked, title: str, allowed: float
) -> tuple[dict[str, Any], dict[str, RewardFailed]]:
    answers: dict[str, Any] = {}
    failures: dict[str, RewardFailed] = {}
    met: list[BudgetMet] = []
    waiting = iter(asked.items())

    def is_hopeless() -> bool:
        ended = len(answers) + len(failures)
        return ended >= min(ENOUGH, len(asked)) and len(failures) > allowed * ended

    async def work(advance: Callable[[], None]) -> None:
        for key, ask in waiting:
            try:
                answers[key] = await ask()
            except BudgetMet as error:
                met.append(error)
            except RewardFailed as error:
                failures[key] = error
            # Others finish what they have asked: it is paid for.
            if met or is_hopeless():
                return
            advance()

    with counting(title, len(asked)) as advance:
        await asyncio.gather(*(work(advance) for _ in range(min(AT_ONCE, len(asked)))))
    kept = f"{len(answers):,} of {len(asked):,} questions are answered and kept, and nothing was changed"
    if met:
        raise AskingStopped(
            f"A cap of conf.judge.budget is met: {kept}. Raise it, and the same command goes on. {met[0]}"
        )
    if is_hopeless():
        raise AskingStopped(
            f"{len(failures):,} questions failed, more than the share of {allowed:g} allowed (conf.rewards.max_failure_rate); {kept}. "
            f"The last reason: {list(failures.values())[-1]}"
        )
    return answers, failures


def spent(judge, before: Mapping[str, Any]) -> str:
    """What was asked since `before` (totals of the judge), as a sentence.

    >>> class Judge:
    ...     totals = lambda self: {"requests": 5, "prompt_tokens": 900, "completion_tokens": 100, "cost": 0.5, "cache_hits": 3}
    >>> spent(Judge(), dict.fromkeys(("requests", "prompt_tokens", "completion_tokens", "cost", "cache_hits"), 0))
    '5 requests, 1,000 tokens, cost 0.5000; 3 answers were kept from before'
    """
    now = judge.totals()
    new = {
        name: now[name] - before[name]
        for name in ("requests", "prompt_tokens", "completion_tokens", "cost", "cache_hits")
    }
    tokens = new["prompt_tokens"] + new["completion_tokens"]
    cost = f", cost {new['cost']:.4f}" if new["cost"] else ""
    return f"{new['requests']:,} requests, {tokens:,} tokens{cost}; {new['cache_hits']:,} answers were kept from before"
