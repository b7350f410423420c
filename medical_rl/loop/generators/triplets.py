"""`Triplet`: a generated question, rationale and answer about an image; checked, and made a `Sample`.

A triplet that cannot be used is bad model output: it has a reason and is counted, and nothing is raised.
"""

import collections
import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from medical_rl.data.options import BadOptions, clean_options
from medical_rl.images import image_key
from medical_rl.parsing.response import READERS
from medical_rl.parsing.text import label_key, normalise
from medical_rl.sample import Sample

FEWEST, MOST = 2, 8  # options of a question
KINDS = ("choice", "label", "grade", "yes_no")
# What is true of the image, whatever is asked about it, and what the source row was asked.
INHERITED = ("modality", "question_type", "phantom")
_INTEGER = re.compile(r"\s*-?\d+\s*")

Key = tuple[str, str, str]


@dataclasses.dataclass(frozen=True)
class Triplet:
    """One generated question with its answer; the image is that of its source row.

    question   the bare question
    answer     as it was given: the text of an option, its letter, or free where there are no options
    rationale  what leads to the answer
    options    () where the answer is free
    kind       one of KINDS; "" leaves it to `kind_of`
    knowledge  what a prompt tells with the question
    known      what the generator knows of its own triplet ("truth", "is_error", ...): for measuring, never
               for filtering
    """

    question: str
    answer: str
    rationale: str
    options: tuple[str, ...] = ()
    kind: str = ""
    knowledge: str = ""
    known: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Proposals:
    """What a generator gives back: triplets with their source rows, in the rows' order, unchecked.

    bad_replies  replies that held none, counted by reason
    notes        for the log
    """

    pairs: list[tuple[Sample, Triplet]] = dataclasses.field(default_factory=list)
    bad_replies: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    notes: list[str] = dataclasses.field(default_factory=list)

    def add(self, source: Sample, triplets: list[Triplet], reasons: Iterable[str] = ()) -> None:
        """Take in what one reply held."""
        for triplet in triplets:
            self.pairs.append((source, triplet))
        self.bad_replies.update(reasons)


def with_source_question(triplet: Triplet, source: Sample) -> Triplet:
    """The triplet; where it asks its source row's question, with that row's kind, options, knowledge."""
    is_same_question = label_key(triplet.question) == label_key(source.question)
    if triplet.kind or source.kind not in KINDS or not is_same_question:
        return triplet
    options = set(map(label_key, triplet.options))
    if options and options != set(map(label_key, source.choices)):
        return triplet
    return dataclasses.replace(triplet, kind=source.kind, options=source.choices, knowledge=source.knowledge)


def kind_of(triplet: Triplet) -> str:
    """The kind of its question: as given, else yes_no, grade (integers), choice (options) or label."""
    if triplet.kind:
        return triplet.kind
    texts = triplet.options or (triplet.answer,)
    if {"yes", "no"}.issuperset(map(normalise, texts)):
        return "yes_no"
    if all(map(_INTEGER.fullmatch, texts)):
        return "grade"
    return "choice" if triplet.options else "label"


def problem(triplet: Triplet) -> str | None:
    """Why a triplet cannot be used, in words that are counted; None where it can."""
    for name in ("question", "rationale", "answer"):
        if not label_key(getattr(triplet, name)):
            return f"no {name}"
    if label_key(triplet.question) == label_key(triplet.answer):
        return "the question is the answer"
    options, kind = triplet.options, kind_of(triplet)
    if options:
        if not FEWEST <= len(options) <= MOST:
            return f"not {FEWEST} to {MOST} options"
        if not all(map(str.strip, options)):
            return "an empty option"
        if len(set(map(label_key, options))) < len(options):
            return "an option twice"
        try:
            clean_options(options, lettered=kind == "choice")
        except BadOptions as error:
            return str(error)
    answer = READERS[kind](triplet.answer, options)
    if answer is None and READERS[kind](triplet.answer) is None:
        return f"the answer cannot be read as a {kind}"
    if answer is None or (options and kind != "yes_no" and answer not in options):
        return "the answer is none of the options"
    return None


def sample_of(source: Sample, triplet: Triplet, round: int) -> Sample:
    """The row that asks `triplet` about the images of `source`; `triplet` has no `problem`."""
    kind, choices = kind_of(triplet), triplet.options
    answer = triplet.answer.strip()
    if kind != "label" or choices:  # as rewards read it: an option's own text, digits, yes or no
        answer = str(READERS[kind](answer, choices))
    if kind == "yes_no":
        choices = source.choices if source.kind == "yes_no" else ("yes", "no")
    question, thought = triplet.question.strip(), triplet.rationale.strip()
    content = json.dumps([image_key(source.images), question, answer, thought])
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    inherited = {name: source.meta[name] for name in INHERITED if name in source.meta}
    own = {"thought": thought, "generated": True, "round": round, "image_of": source.id}
    return dataclasses.replace(
        source,
        id=f"gen/{round}/{digest}",
        question=question,
        kind=kind,
        answer=answer,
        choices=choices,
        concepts=(),
        knowledge=triplet.knowledge,
        meta=inherited | triplet.known | own,
    )


def duplicate_key(sample: Sample) -> Key:
    """(images, question, answer) without case, spaces and punctuation: rows with one key are duplicates."""
    return image_key(sample.images), label_key(sample.question), label_key(sample.answer)


def without_duplicates(samples: Iterable[Sample], seen: set[Key] | None = None) -> Iterator[Sample]:
    """The samples whose key is new, the first of each; `seen` holds known keys and takes up the new ones.

    With the keys of D_gen as `seen` it gives D_high without D_gen (Algorithm 1, line 7).
    """
    seen = set() if seen is None else seen
    for sample in samples:
        key = duplicate_key(sample)
        if key not in seen:
            seen.add(key)
            yield sample
