"""What a check remembers of a split while its rows go by: hashes of pictures and texts, never the pictures."""

from __future__ import annotations

import collections
import hashlib

from PIL import Image

from medical_rl.answers import normalise
from medical_rl.data.checks.looks import look
from medical_rl.sample import Sample

LONG = 25  # words; nobody writes the same case description of this length twice


class Memory:
    """One split: counts, and for every key seen the first row it was seen in."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.rows = 0
        self.kinds: collections.Counter[str] = collections.Counter()
        self.answers: collections.Counter[str] = collections.Counter()
        self.ids: dict[str, int] = {}
        self.groups: dict[str, str] = {}
        self.texts: dict[bytes, str] = {}
        self.repeated_texts: set[bytes] = set()
        self.pictures: dict[bytes, str] = {}
        self.looks: list[bytes] = []
        self.shown: list[tuple[int, int]] = []
        self.asked: dict[tuple, tuple[str, str]] = {}

    def add(self, sample: Sample, pictures: list[Image.Image]) -> list[tuple[str, str]]:
        """[(level, sentence)] for what the row repeats within its split; a copy made to fill a batch repeats nothing."""
        row, self.rows = self.rows, self.rows + 1
        self.kinds[sample.kind] += 1
        self.answers[sample.answer] += 1
        if sample.meta.get("copy"):
            return []
        keys = tuple(exact(picture) for picture in pictures)
        repeats = self._repeats(sample, keys)
        self.ids.setdefault(sample.id, row)
        self.groups.setdefault(sample.group or sample.id, sample.id)
        for number, (key, picture) in enumerate(zip(keys, pictures, strict=True)):
            if key not in self.pictures:
                self.pictures[key] = sample.id
                self.looks.append(look(picture))
                self.shown.append((row, number))
        words = normalise(sample.question)
        if not keys or len(words.split()) >= LONG:
            key = hashlib.sha256(words.encode()).digest()[:16]
            if key in self.texts and keys:
                # A long question asked again and again within a split is a form, not a case.
                self.repeated_texts.add(key)
            self.texts.setdefault(key, sample.id)
        return repeats

    def _repeats(self, sample: Sample, keys: tuple) -> list[tuple[str, str]]:
        found = [("error", f"the id {sample.id} is in it twice")] if sample.id in self.ids else []
        asked = (normalise(sample.question), sample.choices, keys)
        other, answer = self.asked.setdefault(asked, (sample.id, sample.answer))
        if other != sample.id:
            same = answer == sample.answer
            told = "repeats" if same else "gives another answer to the question of"
            found.append(("warning", f"{sample.id} {told} {other}"))
        return found


def exact(picture: Image.Image) -> bytes:
    """A hash of what an RGB picture shows, however it was encoded."""
    return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).digest()[:16]
