"""TRL's `GRPOTrainer(reward_funcs=functions, args=GRPOConfig(reward_weights=weights, ...))`.

>>> functions, weights = reward_functions("conf/rewards=accuracy_format")
>>> [f.__name__ for f in functions], weights
(['total', 'accuracy', 'format'], [1.0, 0.0, 0.0])
>>> column = {"answer": ["no"], "kind": ["yes_no"]}
>>> [f(prompts=["?"], completions=["<think>clear</think> \\\\boxed{no}"], **column) for f in functions]
[[2.0], [1.0], [1.0]]
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

from medical_rl.rewards.load import load_mix
from medical_rl.rewards.mix import Mix
from medical_rl.rewards.score import sample_of, score_all


def reward_functions(*overrides: str) -> tuple[list[Callable], list[float]]:
    """(functions, weights): the mix's total with weight 1, then its raw terms with 0, for TRL's logs.

    Only the total knows how the mix combines its terms, and puts a failed term at the mean of its group (the
    completions of one prompt); a failed term itself is None, which TRL leaves out of its figures. The rows'
    columns are those of `rewards.score.sample_of`.
    """
    mix, _ = load_mix(overrides)
    scorer = _BatchScorer(mix)

    def total(prompts, completions, **columns):
        results = scorer.results(prompts, completions, columns)
        # by the whole row: sets of images ask every patient in the same words
        groups = list(map(repr, zip(prompts, _rows(prompts, columns), strict=True)))
        return list(map(itemgetter("score"), mix.with_group_means(results, groups)))

    functions = [total]
    for name in mix.terms:
        functions.append(_term_function(name, scorer))
    return functions, [1.0] + [0.0] * len(mix.terms)


def _term_function(name: str, scorer: "_BatchScorer") -> Callable:
    def term(prompts, completions, **columns):
        results = scorer.results(prompts, completions, columns)
        return [None if result[f"{name}/failed"] else result[name] for result in results]

    term.__name__ = name
    return term


class _BatchScorer:
    """Scores a batch once, though TRL calls one function a term on it."""

    def __init__(self, mix: Mix):
        self.mix, self.last = mix, (None, [])

    def results(self, prompts: Sequence, completions: Sequence, columns: dict) -> list[dict]:
        """The mix's results of a batch; those of the last call where it is the same batch."""
        key = (repr(prompts), repr(completions), repr(columns.get("answer")))
        if self.last[0] != key:
            texts = map(completion_text, completions)
            samples = map(sample_of, _rows(prompts, columns))
            self.last = (key, score_all(self.mix, list(zip(texts, samples, strict=True))))
        return self.last[1]


def _rows(prompts: Sequence, columns: dict) -> list[dict]:
    """The dataset's columns row by row, the prompt's text as the question."""
    rows = [{"question": completion_text(prompt)} for prompt in prompts]
    for name, column in columns.items():
        if isinstance(column, list) and len(column) == len(prompts):
            for row, value in zip(rows, column, strict=True):
                row[name] = value
    return rows


def completion_text(completion) -> str:
    """The text of a completion: a string, or chat messages whose last content is meant."""
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Sequence) and completion:
        completion = completion[-1]
    content = completion.get("content", "") if isinstance(completion, Mapping) else completion
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content or () if isinstance(part, Mapping))
