"""Every row proved before it is written: its gold answer reads back as its kind, and through the prompt's own target.

The grader proved on the gold answers: a reward that its own gold answer does not earn is found before training.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping

import jinja2
import jinja2.meta

from medical_rl.data.box_frame import in_frame
from medical_rl.data.prompts import target
from medical_rl.errors import RewardFailed, UserError
from medical_rl.parsing.response import gold, gold_problem, parse, read
from medical_rl.rewards.mix import Mix
from medical_rl.rewards.services import check_restricted, endpoints
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
        key = (
            sample.kind,
            sample.answer,
            sample.choices,
            str(sample.meta.get("thought") or "") if plain else text,
        )
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
        return jinja2.meta.find_undeclared_variables(jinja2.Environment().parse(template)) <= {
            "answer",
            "thought",
        }
    except jinja2.TemplateSyntaxError:
        return False  # `target` tells what is wrong with it


def prove(
    samples: Iterable[Sample], rewards: Mapping, prompt: Mapping, whole: bool = True
) -> tuple[int, float]:
    """(rows, mean reward) of responses made from the gold answers by the prompt's own target.

    Terms that ask a judge or a reward model are left out: proving the parsing needs neither. Raises UserError
    for a row whose gold answer is not right by its own reward, or does not earn the whole of a term that a right
    answer in the asked form must earn (the prompt and the reward do not fit together, or the data are wrong),
    and for a term that fails on every one of them. `whole` false (a run without RL) checks the right answer alone.
    """
    return asyncio.run(_prove(samples, Mix.from_config(rewards), prompt, whole))


# Terms that a right answer in the asked form earns whole.
PROVED = frozenset(("accuracy", "format", "outcome", "mfrs", "detection"))


def check_rows(samples: Iterable[Sample], rewards: Mapping, conf: Mapping) -> int:
    """Number of rows; UserError for one that a term cannot work on (no concepts, no knowledge) or that may not be sent.

    Every row is tried, on an empty response: verl would fail the group of such a row in silence. `conf` has the
    settings of the judge and the reward model.
    """
    return asyncio.run(_check_rows(samples, Mix.from_config(rewards), conf))


async def _check_rows(samples: Iterable[Sample], mix: Mix, conf: Mapping) -> int:
    places, offline, count = endpoints(mix, conf), mix.without(mix.needs), 0
    for sample in samples:
        check_restricted(places, [sample])
        await offline.score("", sample)
        count += 1
    return count


async def _prove_proof(
    samples: Iterable[Sample], mix: Mix, prompt: Mapping, whole: bool
) -> tuple[int, float]:
    mix, scores = mix.without(mix.needs), []
    failed: dict[str, list[RewardFailed]] = {name: [] for name in mix.terms}
    mix.on_failed = lambda term, sample, error: failed[term].append(error)
    for sample in samples:
        response = target(sample, prompt)
        result = await mix.score(response, sample)
        if result["acc"] != 1.0:
            raise UserError(
                f"The gold answer {sample.answer!r} of the row {sample.id} is not right by its own reward (read from {response!r}): "
                "the prompt's target and the reward's parsing do not fit together, or the data are wrong."
            )
        for name in PROVED.intersection(mix.terms) if whole else ():
            if result[name] < 1.0:
                raise UserError(
                    f"The gold answer of the row {sample.id} earns {result[name]:g} of 1 from the reward term {name!r} "
                    f"({dict(mix.terms[name].parameters)}), in the form that the prompt {prompt.get('name', '')!r} asks for: {response!r}. "
                    "A model that does what it is told would never be paid: choose a prompt and a form that fit together."
                )
        scores.append(result["score"])
    for name, errors in failed.items() if whole and scores else ():
        if len(errors) == len(
            scores
        ):  # now and then is an outage, which training watches; always is a broken reward
            raise UserError(
                f"The reward term {name!r} fails on the gold answer of every row tried: {errors[-1]}"
            )
    return len(scores), sum(scores) / max(len(scores), 1)
