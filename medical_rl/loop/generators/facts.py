"""What the template generator asks of a phantom whose row says all that is true of its picture."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from medical_rl.errors import unknown
from medical_rl.loop.generators.triplets import Triplet
from medical_rl.sample import Sample
from medical_rl.tiny.phantom_vqa import QUESTION_TYPES, another, ask

# Further ways to ask; the first way is the phantoms' own.
WORDINGS = {
    "grading": ("Which grade from 0 to 4 has the disc?", "How is the disc graded, from 0 to 4?"),
    "side": ("Where is the disc: on which side?", "The disc lies on which side?"),
}


def types_of(asked: Sequence[str] | None) -> tuple[str, ...]:
    """The types of question that are asked; None means all. UserError for an unknown one."""
    for name in asked or ():
        if name not in QUESTION_TYPES:
            raise unknown("type of question about phantoms", name, QUESTION_TYPES)
    return tuple(asked or QUESTION_TYPES)


def cases(row: Sample, types: Sequence[str], wordings: int, rng) -> Iterator[tuple[Triplet, Triplet]]:
    """(right triplet, wrong one) for ever: every type in every wording once before any comes again, from a random start."""
    facts = row.meta["facts"]
    ways = list(itertools.product(range(wordings), types))
    start = int(rng.integers(len(ways)))
    for wording, kind in itertools.cycle(ways[start:] + ways[:start]):
        yield _triplet(kind, wording, facts), _triplet(kind, wording, another(kind, facts, rng))


def _triplet(question_type: str, wording: int, facts: dict) -> Triplet:
    said = ask(question_type, facts)
    right = Triplet(
        question=said["question"],
        answer=said["answer"],
        rationale=said["thought"],
        options=said["choices"],
        kind=said["kind"],
        knowledge=said["knowledge"],
        known={"question_type": question_type},
    )
    return dataclasses.replace(right, question=WORDINGS[question_type][wording - 1]) if wording else right
