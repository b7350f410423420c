"""What two splits share. Training splits may share with each other; everything else is a leak, or a look-alike to look at."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medical_rl.data.inspect.findings import Finding
from medical_rl.data.inspect.memory import FORM, FORM_OVERALL, Memory, alike

TRAINING = ("warm_start", "train")
SHOWN = 5


@dataclass(frozen=True)
class Pair:
    """Two images that look alike: (split, row, number of the image in it) of each, and their distance."""

    one: tuple[str, int, int]
    other: tuple[str, int, int]
    distance: float


def compared(memories: Sequence[Memory]) -> Iterator[tuple[Memory, Memory]]:
    """The pairs of splits that must share nothing."""
    for one, other in itertools.combinations(memories, 2):
        if not {one.split, other.split} <= set(TRAINING):
            yield one, other


def is_form(key: bytes, memories: Sequence[Memory]) -> bool:
    """Whether a text is asked about so many groups, of one split or of all, that it is no case: see FORM."""
    asked = [memory.asked_of(key) for memory in memories]
    return max(map(len, asked)) >= FORM or len(set().union(*asked)) >= FORM_OVERALL


def leaks(one: Memory, other: Memory, memories: Sequence[Memory]) -> Iterator[Finding]:
    """A leak for each kind of thing that both splits have; a warning for short questions about no known image.

    `memories` are those of all splits, which tell a form from a case.
    """
    for check, level, what, name in (
        ("shared_group", "leak", "groups (patients, lesions or studies)", "groups"),
        ("shared_id", "leak", "row ids", "ids"),
        ("shared_image", "leak", "images, pixel for pixel,", "pictures"),
        ("shared_text", "leak", "questions", "texts"),
        ("shared_text", "warning", "short questions without an image", "doubtful_texts"),
    ):
        ours, theirs = getattr(one, name), getattr(other, name)
        shared = [key for key in theirs if key in ours]
        if check == "shared_text":
            shared = [key for key in shared if not is_form(key, memories)]
        if shared:
            where = [
                f"{key}" if name in ("groups", "ids") else f"{ours[key]} and {theirs[key]}" for key in shared
            ]
            message = f"{len(shared):,} {what} are in both {one.split} and {other.split}."
            yield Finding(check, level, message, tuple(where[:SHOWN]))


def look_alikes(one: Memory, other: Memory) -> list[Pair]:
    """Pairs of images that look alike and are not equal, the nearest first."""
    found = []
    ours, theirs = list(one.pictures), list(other.pictures)
    for i, j, distance in alike(one.looks, other.looks):
        if ours[i] not in other.pictures and theirs[j] not in one.pictures:
            found.append(Pair((one.split, *one.shown[i]), (other.split, *other.shown[j]), distance))
    return sorted(found, key=lambda pair: pair.distance)


def unseen_answers(memories: Sequence[Memory]) -> Iterator[Finding]:
    """A warning for answers of few-class data that are tested and never trained."""
    trained = {answer for memory in memories if memory.split in TRAINING for answer in memory.answers}
    for memory in memories:
        unseen = sorted(set(memory.answers) - trained)
        # Free answers and boxes are nearly all different; that none is repeated says nothing.
        if trained and unseen and len(memory.answers) <= memory.rows / 4:
            message = f"{memory.split} has {len(unseen):,} answers that train never shows."
            yield Finding("labels", "warning", message, tuple(map(repr, unseen[:SHOWN])))
