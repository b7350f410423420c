"""How graded texts are made: whose texts are lent to whom, what a builder has at hand, how all are run."""

import bisect
import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from medical_rl.data.prompts import target
from medical_rl.errors import unknown
from medical_rl.parsing.response import gold, parse, read
from medical_rl.parsing.text import normalise
from medical_rl.reward_model.graded import Graded
from medical_rl.reward_model.grading.synonyms import Synonyms, words_of_drawn_pictures
from medical_rl.reward_model.grading.text_changes import reword, split
from medical_rl.rewards.terms.accuracy import right
from medical_rl.sample import Sample
from medical_rl.seeding import named_rng, rank


class _Entry(NamedTuple):
    rank: float
    name: str
    donor: Sample
    truth: str | None


class Donors:
    """A drawn part of a set's rows: at most `per_question` of each of at most `questions` questions.

    Which rows are kept depends on their ids and the seed, not on their order: those with the smallest ranks.
    Memory is bounded whatever the size of the set. A restricted row lends to restricted rows alone.
    """

    def __init__(self, samples: Iterable[Sample], seed: int, per_question: int = 64, questions: int = 1024):
        self.seed, self.per_question, self.questions = seed, per_question, questions
        self._by_question: dict[str, list[_Entry]] = {}  # by kind and question
        self._by_kind: dict[str, list[_Entry]] = {}
        self._share = 1.0  # of all questions, those that are kept
        for sample in samples:
            self._add(sample)

    def of(self, sample: Sample, purpose: str = "") -> Iterator[Sample]:
        """Rows of another picture with another answer, in an order drawn for this row and `purpose`.

        Rows of the same question come first, then others of the same kind. The donor's group is another (its
        id, where rows have no group).
        """
        truth, names, rng = gold(sample), set(), named_rng(self.seed, purpose, sample.id)
        for entries in (self._by_question.get(_question(sample), []), self._by_kind.get(sample.kind, [])):
            for index in rng.permutation(len(entries)):
                entry = entries[index]
                if entry.name not in names and entry.truth != truth and _may_lend(entry.donor, sample):
                    names.add(entry.name)
                    yield entry.donor

    def _add(self, sample: Sample) -> None:
        donor = dataclasses.replace(sample, images=())
        question = _question(sample)
        if rank("question", question) < self._share:
            self._insert(self._by_question.setdefault(question, []), donor)
            while len(self._by_question) > self.questions:  # a share of all questions, whichever came first
                self._share /= 2
                for other in list(self._by_question):
                    if rank("question", other) >= self._share:
                        del self._by_question[other]
        self._insert(self._by_kind.setdefault(sample.kind, []), donor)

    def _insert(self, entries: list[_Entry], donor: Sample) -> None:
        """Keep the donor in its place, and of all entries those with the smallest ranks."""
        name = f"{donor.source}/{donor.id}"
        entry = _Entry(rank(str(self.seed), "donor", name), name, donor, gold(donor))
        index = bisect.bisect_left(entries, entry.rank, key=lambda other: other.rank)
        repeated = index < len(entries) and entries[index].name == name
        if not repeated:
            entries.insert(index, entry)
            del entries[self.per_question :]


def _may_lend(donor: Sample, sample: Sample) -> bool:
    """Another picture's row, whose text may go wherever the sample's may."""
    if donor.restricted and not sample.restricted:
        return False
    if donor.source != sample.source:
        return True
    return donor.group != sample.group if sample.group and donor.group else donor.id != sample.id


def _question(sample: Sample) -> str:
    return f"{sample.kind}/{normalise(sample.question)}"


def is_wrong(text: str, sample: Sample) -> bool:
    """True if the response has an answer that can be read and is not the gold one."""
    answer = read(parse(text), sample)
    return answer is not None and not right(answer, sample)


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
        for answer in (sample.answer,) + sample.choices:
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
    """[(name, builder)] of `registry`. Raises UserError for a name that it has not, which it calls a `kind`."""
    for name in names:
        if name not in registry:
            raise unknown(kind, name, registry)
    return [(name, registry[name]) for name in names]


def donors_of(samples: Iterable[Sample], seed: int, donors: Donors | None) -> Donors:
    """`donors`, or those of `samples` where none are given.

    Raises TypeError where going through the samples would use them up.
    """
    if donors is None and iter(samples) is samples:
        raise TypeError("The samples are gone through twice: give a list, or donors=Donors(...) made before.")
    return donors or Donors(samples, seed)
