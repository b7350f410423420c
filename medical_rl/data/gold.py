"""Every row proved before it is written: its gold answer reads back as its kind, and through the prompt's own target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from medical_rl.answers import gold, gold_problem, parse, read
from medical_rl.data.prompts import target
from medical_rl.errors import UserError
from medical_rl.sample import Sample

# Rows that repeat an answer are proved once; boxes hardly ever do, and are not all remembered.
_REMEMBERED = 10_000
_MARKS = ("\\boxed", "<answer>")


def proved(samples: Iterable[Sample], prompt: Mapping) -> Iterator[Sample]:
    """The samples; UserError naming the first whose gold answer is no answer of its kind, none of its choices, or lost in the target.

    A prompt without a target, or with one that marks no answer, is only asked whether its target can be filled.

    >>> bad = Sample(id="7", source="demo", question="?", kind="label", answer="c", choices=("a", "b"))
    >>> next(proved([bad], {}))
    Traceback (most recent call last):
    ...
    medical_rl.errors.UserError: Row 7 cannot be used: the gold answer 'c' is none of the choices 'a', 'b'.
    """
    marked = any(mark in str(prompt.get("target") or "") for mark in _MARKS)
    seen: set[tuple] = set()
    for sample in samples:
        text = target(sample, prompt) if prompt.get("target") else ""
        key = sample.kind, sample.answer, sample.choices, text
        if key not in seen:
            if problem := gold_problem(sample):
                raise UserError(f"Row {sample.id} cannot be used: {problem}.")
            if marked and (back := read(parse(text), sample)) != gold(sample):
                raise UserError(
                    f"Row {sample.id} cannot be used: its gold answer {sample.answer!r} is read back as {back!r} from the "
                    f"prompt's target {text!r}. Change the answer, or the prompt (its form does not suit a {sample.kind})."
                )
            if len(seen) < _REMEMBERED:
                seen.add(key)
        yield sample
