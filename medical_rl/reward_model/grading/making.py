"""What builders make texts from, and what several of them do: a text in synonyms, the text of another picture, an untrue thought."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from medical_rl.data.prompts import target
from medical_rl.errors import unknown
from medical_rl.parsing.response import gold
from medical_rl.parsing.text import normalise
from medical_rl.reward_model.graded import Graded
from medical_rl.reward_model.grading.donors import Donors
from medical_rl.reward_model.grading.response_parts import split
from medical_rl.reward_model.grading.rewording import reword
from medical_rl.reward_model.grading.synonym_table import PHANTOM_WORDS
from medical_rl.reward_model.grading.synonyms import Synonyms
from medical_rl.reward_model.grading.wrong import answered, is_wrong
from medical_rl.sample import Sample
from medical_rl.seeding import stream


@dataclasses.dataclass(frozen=True)
class Making:
    """The prompt, the seed, the source of synonyms, the donors, and the share of replaceable words that is replaced."""

    prompt: Mapping
    seed: int
    synonyms: Synonyms
    donors: Donors
    share: float = 0.5


Builder = Callable[[Sample, Making], Graded | None]


def made(
    samples: Iterable[Sample],
    builders: Sequence[tuple[str, Builder]],
    making: Making,
    skipped: collections.Counter | None = None,
) -> Iterator[Graded]:
    """What each builder makes of each sample, in this order; `skipped` counts by name what could not be made."""
    for sample in samples:
        for name, build in builders:
            row = build(sample, making)
            if row is not None:
                yield row
            elif skipped is not None:
                skipped[name] += 1


def chosen(names: Iterable[str], registry: Mapping[str, Builder], kind: str) -> list[tuple[str, Builder]]:
    """[(name, builder)] of `registry`; UserError for a name that is not in it."""
    names = list(names)
    for name in names:
        if name not in registry:
            raise unknown(kind, name, registry)
    return [(name, registry[name]) for name in names]


def donors_of(samples: Iterable[Sample], seed: int, donors: Donors | None) -> Donors:
    """`donors`, or those of `samples` where none are given; TypeError where going through these would use them up."""
    if donors is not None:
        return donors
    if iter(samples) is samples:
        raise TypeError("The samples are gone through twice: give a list, or donors=Donors(...) made before.")
    return Donors(samples, seed)


def reworded(sample: Sample, text: str, making: Making, purpose: str) -> str | None:
    """`text` with synonyms in its thought, the words of the sample's answer and choices kept; None where no word has one."""
    parts = split(text)
    kept = frozenset(
        word for answer in (sample.answer, *sample.choices) for word in normalise(answer).split()
    )
    kept |= frozenset() if sample.meta.get("phantom") else PHANTOM_WORDS
    rng = stream(making.seed, "words", purpose, sample.id)
    thought = reword(parts.thought, making.synonyms, rng, making.share, kept)
    return None if thought is None else parts.with_thought(thought)


def of_another_picture(
    sample: Sample,
    making: Making,
    purpose: str,
    changed: Callable[[Sample, str], str | None] = lambda _, text: text,
) -> tuple[Sample, str] | None:
    """(donor, its text, `changed(donor, text)`): the first drawn whose text is wrong here; None where there is none.

    Of a donor to a multiple-choice question its answer is given as an option of this one, letter and all; where it is none of the
    options, and the donor has no thought that would tell its picture, nothing is left of it but a letter: the next is taken.
    """
    for donor in making.donors.of(sample, purpose):
        thought, option = donor.meta.get("thought") or "", gold(donor)
        if sample.kind == "choice" and option in sample.choices:
            text = answered(sample, option, making.prompt, thought)
        elif thought or sample.kind != "choice":
            text = target(donor, making.prompt)
        else:
            continue
        text = changed(donor, text)
        if text is not None and is_wrong(text, sample):
            return donor, text
    return None
