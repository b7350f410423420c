"""Gold answers checked before a row is written, and rewards checked on them before training."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import jinja2
import jinja2.meta

from medical_rl.data.prompts import in_frame, target
from medical_rl.errors import RewardFailed, UserError
from medical_rl.parsing.response import gold, gold_problem, parse, read
from medical_rl.rewards.load import check_restricted, endpoints
from medical_rl.rewards.mix import Mix
from medical_rl.sample import Sample

# Rows that repeat an answer are checked once; boxes hardly ever do, and are not all remembered.
_REMEMBERED = 10_000
# Terms that a right answer in the asked form earns whole.
EARNED_WHOLE = frozenset(("accuracy", "format", "outcome", "mfrs", "detection"))


def check_gold(samples: Iterable[Sample], prompt: Mapping) -> Iterator[Sample]:
    """The samples, each checked as it passes.

    A prompt without a target, or with one that marks no answer, is only asked whether its target can be
    filled.
    Raises UserError naming the first whose gold answer is none of its kind, none of its choices, or lost in
    the target.

    >>> bad = Sample(id="7", source="demo", question="?", kind="label", answer="c", choices=("a", "b"))
    >>> next(check_gold([bad], {}))
    Traceback (most recent call last):
    ...
    medical_rl.errors.UserError: Row 7 cannot be used: the gold answer 'c' is none of the choices 'a', 'b'.
    """
    template = str(prompt.get("target") or "")
    plain = _is_plain(template)
    checked: set[tuple] = set()
    for sample in samples:
        text = str(sample.meta.get("thought") or "") if plain else target(sample, prompt)
        key = (sample.kind, sample.answer, sample.choices, text)
        if key not in checked:
            _check_sample(sample, prompt, template)
            if len(checked) < _REMEMBERED:
                checked.add(key)
        yield sample


def _check_sample(sample: Sample, prompt: Mapping, template: str) -> None:
    problem = gold_problem(sample)
    if problem:
        raise UserError(f"Row {sample.id} cannot be used: {problem}.")
    if not template:
        return
    text = target(sample, prompt)
    if "\\boxed" not in template and "<answer>" not in template:
        return
    shown = in_frame(sample, prompt)
    answer = read(parse(text), sample)
    if answer not in (shown.answer, gold(shown)):
        raise UserError(
            f"Row {sample.id} cannot be used: its gold answer {sample.answer!r} is read back as {answer!r} "
            f"from the prompt's target {text!r}. Change the answer, or the prompt (its form does not suit a "
            f"{sample.kind})."
        )


def _is_plain(template: str) -> bool:
    """Whether a target says the same for equal answers and thoughts: such rows need not all be filled in."""
    try:
        variables = jinja2.meta.find_undeclared_variables(jinja2.Environment().parse(template))
    except jinja2.TemplateSyntaxError:
        return False  # `target` tells what is wrong with it
    return variables <= {"answer", "thought"}


def check_rewards_on_gold(
    samples: Iterable[Sample], rewards: Mapping, prompt: Mapping, whole: bool = True
) -> tuple[int, float]:
    """(rows, mean reward) of responses made from the gold answers by the prompt's own target.

    Terms that ask a judge or a reward model are left out: checking the parsing needs neither. `whole` false
    (a run without RL) checks the right answer alone.
    Raises UserError for a row whose gold answer is not right by its own reward, or does not earn the whole of
    a term that a right answer in the asked form must earn (the prompt and the reward do not fit together, or
    the data are wrong), and for a term that fails on every one of them.
    """
    mix, scores = Mix.from_config(rewards), []
    mix = mix.without(mix.needs)
    failures: dict[str, list[RewardFailed]] = {name: [] for name in mix.terms}
    mix.on_failed = lambda term, sample, error: failures[term].append(error)
    with asyncio.Runner() as runner:
        for sample in samples:
            response = target(sample, prompt)
            result = runner.run(mix.score(response, sample))
            if result["acc"] != 1.0:
                raise UserError(
                    f"The gold answer {sample.answer!r} of the row {sample.id} is not right by its own "
                    f"reward (read from {response!r}): the prompt's target and the reward's parsing do not "
                    "fit together, or the data are wrong."
                )
            for name in EARNED_WHOLE.intersection(mix.terms) if whole else ():
                if result[name] < 1.0:
                    raise UserError(
                        f"The gold answer of the row {sample.id} earns {result[name]:g} of 1 from the reward "
                        f"term {name!r} ({dict(mix.terms[name].parameters)}), in the form that the prompt "
                        f"{prompt.get('name', '')!r} asks for: {response!r}. A model that does what it is "
                        "told would never be paid: choose a prompt and a form that fit together."
                    )
            scores.append(result["score"])
    for name, errors in failures.items() if whole and scores else ():
        # Now and then is an outage, which training watches; always is a broken reward.
        if len(errors) == len(scores):
            raise UserError(
                f"The reward term {name!r} fails on the gold answer of every row tried: {errors[-1]}"
            )
    return len(scores), sum(scores) / max(len(scores), 1)


def check_rewards_on_rows(samples: Iterable[Sample], rewards: Mapping, conf: Mapping) -> list[str]:
    """What is to be said of the rows, each of which the terms can work on: how many lack one of the terms.

    Every row is tried, on an empty response: verl would fail the group of such a row in silence. `conf` has
    the settings of the judge and the reward model.
    Raises UserError for one that a term cannot work on (no knowledge) or that may not be sent, and for a term
    that applies to no row (`fact` where no row has concepts).
    """
    mix, count, lacking = Mix.from_config(rewards), 0, Counter()
    services, offline = endpoints(mix, conf), mix.without(mix.needs)
    with asyncio.Runner() as runner:
        for sample in samples:
            check_restricted(services, [sample])
            runner.run(offline.score("", sample))
            count += 1
            lacking.update(name for name, term in mix.terms.items() if not term.applies(sample))
    mix.check_applied(lacking, count)
    return [
        f"{number:,} of {count:,} rows have nothing for {name} to look for: it is left out of their reward"
        for name, number in lacking.items()
    ]
