r"""The texts whose probabilities say how likely a model finds each option of a question.

An option is scored as the final answer, closing mark included, so that "normal" is not taken for the beginning of
"normal, benign". It follows what the model itself wrote before its final answer, where it gave one (its own reasoning
counts); else the whole target of the prompt follows the prompt directly, without the row's own thought, which could
tell the answer. In both cases the answer is spelt as the prompt's target spells it: a letter where it asks for letters.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from medical_rl.data.prompts import target
from medical_rl.errors import UserError
from medical_rl.parsing.response import parse
from medical_rl.sample import Sample

_MARK = re.compile(r"\\boxed\s*\{|<answer>", re.IGNORECASE)
_PROBE = "probe"


def options(sample: Sample) -> tuple[str, ...]:
    """What a row can be answered: its choices, yes and no; () for a box and a free answer, which have no AUROC.

    >>> options(Sample(id="1", source="demo", question="?", kind="yes_no", answer="no"))
    ('yes', 'no')
    """
    if sample.kind == "yes_no":
        return ("yes", "no")
    return () if sample.kind == "box" else tuple(sample.choices)


def continuations(sample: Sample, prompt: Mapping, response: str) -> list[str]:
    r"""For each of `options(sample)` the text after the prompt that ends with it as the final answer.

    >>> s = Sample(id="1", source="demo", question="?", kind="grade", answer="1", choices=("0", "1"))
    >>> continuations(s, {"target": "<answer>{{ answer }}</answer>"}, "It is large, so \\boxed{1}.")
    ['It is large, so \\boxed{0}', 'It is large, so \\boxed{1}']
    >>> continuations(s, {"target": "<answer>{{ answer }}</answer>"}, "It is large.")
    ['<answer>0</answer>', '<answer>1</answer>']
    """
    told = {key: value for key, value in sample.meta.items() if key != "thought"}
    targets = [
        target(dataclasses.replace(sample, answer=option, meta=told), prompt) for option in options(sample)
    ]
    found = opening(response)
    if found is None:
        return targets
    head, closing = found
    return [f"{head}{_answer(text, sample, prompt)}{closing}" for text in targets]


def opening(response: str) -> tuple[str, str] | None:
    r"""(all up to where the final answer begins, what closes it); None where the response has no final answer.

    >>> opening("<think>\\boxed{1}?</think> \\boxed{2} indeed")
    ('<think>\\boxed{1}?</think> \\boxed{', '}')
    >>> opening("<think>unclosed \\boxed{1}") is None
    True
    """
    answer = parse(response).answer
    if answer is None:
        return None
    for mark in reversed(list(_MARK.finditer(response))):
        head, rest = response[: mark.end()], response[mark.end() :]
        closing = "}" if head.endswith("{") else "</answer>"
        # The mark that is read as the final answer: what is put into it is what the parser then reads.
        if rest.lstrip().startswith(answer) and parse(f"{head}{_PROBE}{closing}").answer == _PROBE:
            return head, closing
    return None


def _answer(text: str, sample: Sample, prompt: Mapping) -> str:
    answer = parse(text).answer
    if not answer:
        raise UserError(
            f"The target of the prompt {prompt.get('name', '')!r} has no final answer for row {sample.id!r}."
        )
    return answer
