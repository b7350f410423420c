"""`Triplet`: a generated question, rationale and answer about a row's image; checked, and made a `Sample`.

A triplet that cannot be used is bad model output: it has a reason and is counted, and nothing is raised.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from medical_rl.data.options import BadOptions, clean
from medical_rl.images import image_key
from medical_rl.parsing.response import READERS
from medical_rl.parsing.text import label_key, normalise
from medical_rl.sample import Sample

FEWEST, MOST = 2, 8  # options of a question
KINDS = ("choice", "label", "grade", "yes_no")
# What is true of the image, whatever is asked about it, and what the source row was asked.
INHERITED = ("modality", "question_type", "phantom")
_INTEGER = re.compile(r"-?\d+")

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
    known      what the generator knows of its own triplet ("truth", "is_error", ...): for measuring, never for filtering
    """

    question: str
    answer: str
    rationale: str
    options: tuple[str, ...] = ()
    kind: str = ""
    knowledge: str = ""
    known: dict[str, Any] = dataclasses.field(default_factory=dict)


def completed(triplet: Triplet, source: Sample) -> Triplet:
    """The triplet; where it asks its source row's own question, with that row's kind, options and knowledge.

    >>> row = Sample(id="1", source="demo", question="Which side?", kind="label", answer="left", choices=("left", "right"))
    >>> completed(Triplet("which side", "right", "It lies there."), row).options
    ('left', 'right')
    """
    own = set(map(label_key, triplet.options)) in (set(), set(map(label_key, source.choices)))
    if (
        triplet.kind
        or not own
        or source.kind not in KINDS
        or label_key(triplet.question) != label_key(source.question)
    ):
        return triplet
    return dataclasses.replace(triplet, kind=source.kind, options=source.choices, knowledge=source.knowledge)


def kind_of(triplet: Triplet) -> str:
    """The kind of its question: as given, else yes_no, grade (whole numbers), choice (other options) or label.

    >>> kind_of(Triplet("Is there fluid?", "No.", "The angle is sharp.")), kind_of(Triplet("Grade?", "3", "It is large."))
    ('yes_no', 'grade')
    """
    texts = triplet.options or (triplet.answer,)
    if triplet.kind:
        return triplet.kind
    if all(normalise(text) in ("yes", "no") for text in texts):
        return "yes_no"
    if all(_INTEGER.fullmatch(text.strip()) for text in texts):
        return "grade"
    return "choice" if triplet.options else "label"


def problem(triplet: Triplet) -> str | None:
    """Why a triplet cannot be used, in words that are counted; None where it can.

    >>> problem(Triplet("Which organ?", "heart", "Its place.", ("lung", "liver")))
    'the answer is none of the options'
    """
    for name in ("question", "rationale", "answer"):
        if not label_key(getattr(triplet, name)):
            return f"no {name}"
    if label_key(triplet.question) == label_key(triplet.answer):
        return "the question is the answer"
    if triplet.options and (reason := _options_problem(triplet)):
        return reason
    read = _read(triplet)
    if read is None:
        return f"the answer cannot be read as a {kind_of(triplet)}"
    if triplet.options and kind_of(triplet) != "yes_no" and read not in triplet.options:
        return "the answer is none of the options"
    return None


def _options_problem(triplet: Triplet) -> str | None:
    if not FEWEST <= len(triplet.options) <= MOST:
        return f"not {FEWEST} to {MOST} options"
    if not all(option.strip() for option in triplet.options):
        return "an empty option"
    if len(set(map(label_key, triplet.options))) < len(triplet.options):
        return "an option twice"
    try:
        clean(triplet.options, lettered=kind_of(triplet) == "choice")
    except BadOptions as error:
        return str(error)
    return None


def _read(triplet: Triplet) -> str | None:
    """The answer as rewards read it: an option's own text, digits, yes or no; None where it cannot be read."""
    return READERS[kind_of(triplet)](triplet.answer, triplet.options)


def sample_of(source: Sample, triplet: Triplet, round: int) -> Sample:
    """The row that asks `triplet` about the images of `source`; `triplet` has no `problem`."""
    kind, choices = kind_of(triplet), triplet.options
    answer = triplet.answer.strip() if kind == "label" and not choices else str(_read(triplet))
    if kind == "yes_no":
        choices = source.choices if source.kind == "yes_no" else ("yes", "no")
    question, thought = triplet.question.strip(), triplet.rationale.strip()
    name = hashlib.sha256(
        json.dumps([image_key(source.images), question, answer, thought]).encode()
    ).hexdigest()[:12]
    inherited = {key: source.meta[key] for key in INHERITED if key in source.meta}
    own = {"thought": thought, "generated": True, "round": round, "image_of": source.id}
    return Sample(
        id=f"gen/{round}/{name}",
        source=source.source,
        question=question,
        kind=kind,
        answer=answer,
        choices=choices,
        images=source.images,
        group=source.group,
        split=source.split,
        restricted=source.restricted,
        knowledge=triplet.knowledge,
        size=source.size,
        meta={**inherited, **triplet.known, **own},
    )


def key(sample: Sample) -> Key:
    """(images, question, answer), the texts without case, spaces and punctuation: rows with one key are duplicates.

    >>> a, b = (Sample(id=i, source="d", question=q, kind="label", answer="Left.") for i, q in (("1", "A side?"), ("2", "a  side")))
    >>> key(a) == key(b)
    True
    """
    return image_key(sample.images), label_key(sample.question), label_key(sample.answer)


def deduplicated(samples: Iterable[Sample], seen: set[Key] | None = None) -> Iterator[Sample]:
    """The samples whose key is new, the first of each; `seen` holds known keys, and is told the new ones.

    With the keys of D_gen as `seen` it gives D_high without D_gen (Algorithm 1, line 7).
    """
    seen = set() if seen is None else seen
    for sample in samples:
        if (name := key(sample)) not in seen:
            seen.add(name)
            yield sample
