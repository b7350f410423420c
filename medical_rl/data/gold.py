"""Every row proved before it is written: its gold answer reads back as its kind, and through the prompt's own target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import jinja2
import jinja2.meta

from medical_rl.answers import gold, gold_problem, parse, read
from medical_rl.data.box_frame import in_frame
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
    template = str(prompt.get("target") or "")
    marked, plain = any(mark in template for mark in _MARKS), _plain(template)
    seen: set[tuple] = set()
    for sample in samples:
        text = "" if plain or not template else target(sample, prompt)
        key = sample.kind, sample.answer, sample.choices, str(sample.meta.get("thought") or "") if plain else text
        if key not in seen:
            _prove(sample, prompt, template, marked)
            if len(seen) < _REMEMBERED:
                seen.add(key)
        yield sample


def _prove(sample: Sample, prompt: Mapping, template: str, marked: bool) -> None:
    if problem := gold_problem(sample):
        raise UserError(f"Row {sample.id} cannot be used: {problem}.")
    text = target(sample, prompt) if template else ""
    asked = in_frame(sample, prompt)
    if marked and (back := read(parse(text), sample)) != asked.answer and back != gold(asked):
        raise UserError(
            f"Row {sample.id} cannot be used: its gold answer {sample.answer!r} is read back as {back!r} from the prompt's "
            f"target {text!r}. Change the answer, or the prompt (its form does not suit a {sample.kind})."
        )


def _plain(template: str) -> bool:
    """Whether a target says the same for equal answers and thoughts: such rows need not all be filled in.

    >>> _plain("{{ thought }} {{ answer }}"), _plain("{{ sample.meta.site }}")
    (True, False)
    """
    try:
        return jinja2.meta.find_undeclared_variables(jinja2.Environment().parse(template)) <= {"answer", "thought"}
    except jinja2.TemplateSyntaxError:
        return False  # `target` tells what is wrong with it
