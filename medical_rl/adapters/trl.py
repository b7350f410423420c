"""TRL's reward functions: `GRPOTrainer(reward_funcs=functions, args=GRPOConfig(reward_weights=weights, ...))`.

>>> functions, weights = reward_functions("conf/rewards=accuracy_format")
>>> [f.__name__ for f in functions], weights
(['total', 'accuracy', 'format'], [1.0, 0.0, 0.0])
>>> column = {"answer": ["no"], "kind": ["yes_no"]}
>>> [f(prompts=["?"], completions=["<think>clear</think> \\\\boxed{no}"], **column) for f in functions]
[[2.0], [1.0], [1.0]]
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from medical_rl.adapters.rows import completion_text, finish, sample_of
from medical_rl.rewards.load import load_mix
from medical_rl.rewards.mix import Mix


def reward_functions(*overrides: str) -> tuple[list[Callable], list[float]]:
    """(functions, weights): the mix's total with weight 1, then its raw terms with weight 0, so that TRL logs each.

    Only the total knows how the mix combines its terms, and puts a failed term at the mean of its group (the
    completions of one prompt); a failed term itself is None, which TRL leaves out of its figures. The rows'
    columns are those of `adapters.rows.sample_of`.
    """
    mix, _ = load_mix(overrides)
    scored = _Once(mix)

    def total(prompts, completions, **columns):
        results = scored(prompts, completions, columns)
        # by the whole row: sets of images ask every patient in the same words
        groups = [repr((p, row)) for p, row in zip(prompts, _rows(prompts, columns), strict=True)]
        return [r["score"] for r in mix.with_group_means(results, groups)]

    functions = [total, *(_term(name, scored) for name in mix.terms)]
    return functions, [1.0] + [0.0] * len(mix.terms)


def _term(name: str, scored: _Once) -> Callable:
    def term(prompts, completions, **columns):
        results = scored(prompts, completions, columns)
        return [None if r[f"{name}/failed"] else r[name] for r in results]

    term.__name__ = name
    return term


class _Once:
    """Scores a batch once, though TRL calls one function a term on it."""

    def __init__(self, mix: Mix):
        self.mix, self.last = mix, (None, [])

    def __call__(self, prompts: Sequence, completions: Sequence, columns: dict) -> list[dict]:
        key = (repr(prompts), repr(completions), repr(columns.get("answer")))
        if self.last[0] != key:
            self.last = (key, finish(self._score(prompts, completions, columns)))
        return self.last[1]

    async def _score(self, prompts, completions, columns) -> list[dict]:
        rows = _rows(prompts, columns)
        texts = [completion_text(c) for c in completions]
        return await asyncio.gather(
            *(self.mix.score(t, sample_of(r)) for t, r in zip(texts, rows, strict=True))
        )


def _rows(prompts: Sequence, columns: dict) -> list[dict]:
    """The dataset's columns row by row, the prompt's text as the question."""
    lists = {k: v for k, v in columns.items() if isinstance(v, list) and len(v) == len(prompts)}
    return [
        {"question": completion_text(p), **{k: v[i] for k, v in lists.items()}} for i, p in enumerate(prompts)
    ]
