"""What the builders of graded texts share: how a text is made, and how all builders are run."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from medical_rl.data.prompts import target
from medical_rl.errors import unknown
from medical_rl.parsing.response import gold, parse, read
from medical_rl.parsing.text import normalise
from medical_rl.reward_model.graded import Graded
from medical_rl.reward_model.grading.donors import Donors
from medical_rl.reward_model.grading.response_parts import split
from medical_rl.reward_model.grading.rewording import reword
from medical_rl.reward_model.grading.synonyms import Synonyms, words_of_drawn_pictures
from medical_rl.rewards.terms.accuracy import right
from medical_rl.sample import Sample
from medical_rl.seeding import named_rng


@dataclasses.dataclass(frozen=True)
class TextMaker:
    """Makes the texts of rows.

    prompt    conf.prompt, whose target a text fills
    synonyms  the source of the words that replace others
    donors    rows whose texts are lent to others
    share     of the words that have a synonym, how many are replaced
    """

    prompt: Mapping
    seed: int
    synonyms: Synonyms
    donors: Donors
    share: float = 0.5

    def rng(self, *names: str) -> np.random.Generator:
        """The random stream of these names."""
        return named_rng(self.seed, *names)

    def text(self, sample: Sample, answer: str | None = None, thought: str | None = None) -> str:
        """The row's text as SFT teaches it, with `answer` or `thought` in place of its own where given."""
        if answer is not None:
            sample = dataclasses.replace(sample, answer=answer)
        if thought is not None:
            sample = dataclasses.replace(sample, meta={**sample.meta, "thought": thought})
        return target(sample, self.prompt)

    def reworded(self, sample: Sample, text: str, purpose: str) -> str | None:
        """`text` with synonyms in its thought but for words of its answers; None where no word has one."""
        parts = split(text)
        kept = set() if sample.meta.get("phantom") else set(words_of_drawn_pictures())
        for answer in (sample.answer, *sample.choices):
            kept.update(normalise(answer).split())
        rng = self.rng("words", purpose, sample.id)
        thought = reword(parts.thought, self.synonyms, rng, self.share, kept)
        return None if thought is None else parts.with_thought(thought)

    def of_another_picture(
        self, sample: Sample, purpose: str, change: Callable[[Sample, str], str | None] | None = None
    ) -> tuple[Sample, str] | None:
        """(donor, its text): the first drawn whose text is wrong here; None where there is none.

        change  (donor, text) -> the text to be used, or None where this donor's cannot be

        Of a donor to a multiple-choice question its answer is given as an option of this one, letter and all;
        where it is none of the options, and the donor has no thought that would tell its picture, nothing is
        left of it but a letter: the next is taken.
        """
        for donor in self.donors.of(sample, purpose):
            thought, option = donor.meta.get("thought") or "", gold(donor)
            if sample.kind == "choice" and option in sample.choices:
                text = self.text(sample, option, thought)
            elif thought or sample.kind != "choice":
                text = self.text(donor)
            else:
                continue
            if change is not None:
                text = change(donor, text)
            if text is not None and is_wrong(text, sample):
                return donor, text
        return None


Builder = Callable[[Sample, TextMaker], Graded | None]


def build_rows(
    samples: Iterable[Sample],
    builders: Sequence[tuple[str, Builder]],
    maker: TextMaker,
    skipped: collections.Counter | None = None,
) -> Iterator[Graded]:
    """What each builder makes of each sample, in order; `skipped` counts by name what cannot be made."""
    for sample in samples:
        for name, build in builders:
            row = build(sample, maker)
            if row is not None:
                yield row
            elif skipped is not None:
                skipped[name] += 1


def named_builders(
    names: Iterable[str], registry: Mapping[str, Builder], kind: str
) -> list[tuple[str, Builder]]:
    """[(name, builder)] of `registry`.

    Raises UserError for a name that is not in it, which it calls a `kind`.
    """
    builders = []
    for name in names:
        if name not in registry:
            raise unknown(kind, name, registry)
        builders.append((name, registry[name]))
    return builders


def donors_of(samples: Iterable[Sample], seed: int, donors: Donors | None) -> Donors:
    """`donors`, or those of `samples` where none are given.

    Raises TypeError where going through the samples would use them up.
    """
    if donors is not None:
        return donors
    if iter(samples) is samples:
        raise TypeError("The samples are gone through twice: give a list, or donors=Donors(...) made before.")
    return Donors(samples, seed)


def is_wrong(text: str, sample: Sample) -> bool:
    """True if the response has an answer that can be read and is not the gold one."""
    answer = read(parse(text), sample)
    return answer is not None and not right(answer, sample)
