"""Put many questions to a judge at once.

What fails is counted, and too many failures or a met budget end it. Every answer is kept by the judge's
cache, so that the same command asks only what is missing. Limits and budget are the desk's, as in a run.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from medical_rl.errors import BudgetMet, RewardFailed, UserError
from medical_rl.run.progress import Progress

# Questions handed to the desk at once: it decides how many are under way, and more would only take memory.
AT_ONCE = 512
# Questions after which a share of failures is believed.
ENOUGH = 20

Questions = Mapping[str, Callable[[], Awaitable[Any]]]


class AskingStopped(UserError):
    """The judge answered too little, or a cap was met: nothing was written, what was answered is kept."""

    exit_code = 1


def ask_all(
    questions: Questions, title: str, max_failure_rate: float
) -> tuple[dict[str, Any], dict[str, RewardFailed]]:
    """Ask all questions, each a function that asks it; return ({key: answer}, {key: why there is none}).

    Raises AskingStopped when a cap of the budget is met, or when a larger share than `max_failure_rate`
    (0 to 1) of them fail; any other error at once.
    """
    return asyncio.run(_ask_all(questions, title, max_failure_rate))


async def _ask_all(
    questions: Questions, title: str, max_failure_rate: float
) -> tuple[dict[str, Any], dict[str, RewardFailed]]:
    answers: dict[str, Any] = {}
    failures: dict[str, RewardFailed] = {}
    budget_errors: list[BudgetMet] = []
    waiting = iter(questions.items())

    def is_hopeless() -> bool:
        count = len(answers) + len(failures)
        return count >= min(ENOUGH, len(questions)) and len(failures) > max_failure_rate * count

    async def work(advance: Callable[[], None]) -> None:
        for key, ask in waiting:
            try:
                answers[key] = await ask()
            except BudgetMet as error:
                budget_errors.append(error)
            except RewardFailed as error:
                failures[key] = error
            # Others finish what they have asked: it is paid for.
            if budget_errors or is_hopeless():
                return
            advance()

    with Progress(title=title, total=len(questions)) as progress:
        await asyncio.gather(*[work(progress.advance) for _ in range(min(AT_ONCE, len(questions)))])
    state = f"{len(answers):,} of {len(questions):,} questions are answered and kept, and nothing was changed"
    if budget_errors:
        raise AskingStopped(
            f"A cap of conf.judge.budget is met: {state}. Raise it, and the same command goes on. "
            f"{budget_errors[0]}"
        )
    if is_hopeless():
        raise AskingStopped(
            f"{len(failures):,} questions failed, more than the share of {max_failure_rate:g} allowed "
            f"(conf.rewards.max_failure_rate); {state}. The last reason: {list(failures.values())[-1]}"
        )
    return answers, failures


def usage_since(judge, before: Mapping[str, Any]) -> str:
    """The requests, tokens and cost since `before` (totals of the judge), as a sentence.

    >>> class Judge:
    ...     def totals(self):
    ...         return dict(requests=5, prompt_tokens=900, completion_tokens=100, cost=0.5, cache_hits=3)
    >>> usage_since(Judge(), dict.fromkeys(Judge().totals(), 0))
    '5 requests, 1,000 tokens, cost 0.5000; 3 answers were kept from before'
    """
    now = judge.totals()
    names = ("requests", "prompt_tokens", "completion_tokens", "cost", "cache_hits")
    new = {name: now[name] - before[name] for name in names}
    tokens = new["prompt_tokens"] + new["completion_tokens"]
    cost = f", cost {new['cost']:.4f}" if new["cost"] else ""
    return (
        f"{new['requests']:,} requests, {tokens:,} tokens{cost}; "
        f"{new['cache_hits']:,} answers were kept from before"
    )
