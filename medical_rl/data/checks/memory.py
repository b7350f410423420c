"""What a check remembers of a split while its rows go by: hashes of pictures and texts, never the pictures."""

from __future__ import annotations

import collections
import hashlib

from PIL import Image

from medical_rl.answers import normalise
from medical_rl.data.checks.looks import look
from medical_rl.sample import Sample

LONG = 25  # words; nobody writes the same case description of this length twice
FORM = 3  # groups; a text asked about so many within one split is a form, not a case
# The same over all splits, which may have divided a form's few groups evenly; a case with a repeated row is about fewer.
FORM_OVERALL = 5


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
        self.doubtful_texts: dict[bytes, str] = {}
        self._asked_of: dict[bytes, set[str]] = {}
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
        self._remember_text(sample, bool(keys))
        return repeats

    def asked_of(self, key: bytes) -> set[str]:
        """The groups that a text of `texts` or `doubtful_texts` is asked about, of more than FORM the first."""
        return self._asked_of.get(key, set())

    def _remember_text(self, sample: Sample, shown: bool) -> None:
        """None; without a picture a question is told from another by what it is about, as far as `meta` tells."""
        words, image = normalise(sample.question), ""
        if not shown:
            image, report = _about(sample)
            words = " ".join([words, report, *map(normalise, sample.choices)])
        # Generic words about no known image may be asked of two patients.
        sure = bool(image) or len(words.split()) >= LONG
        if shown and not sure:
            return
        key = hashlib.sha256(repr((words, image)).encode()).digest()[:16]
        (self.texts if sure else self.doubtful_texts).setdefault(key, sample.id)
        groups = self._asked_of.setdefault(key, set())
        if len(groups) < FORM:
            groups.add(sample.group or sample.id)

    def _repeats(self, sample: Sample, keys: tuple) -> list[tuple[str, str]]:
        found = [("error", f"the id {sample.id} is in it twice")] if sample.id in self.ids else []
        asked = (normalise(sample.question), sample.choices, keys or _about(sample))
        other, answer = self.asked.setdefault(asked, (sample.id, sample.answer))
        if other != sample.id:
            same = answer == sample.answer
            told = "repeats" if same else "gives another answer to the question of"
            found.append(("warning", f"{sample.id} {told} {other}"))
        return found


def _about(sample: Sample) -> tuple[str, str]:
    """(name of the image, words of the report) of a row whose image is not there, "" where they are not known."""
    return str(sample.meta.get("image") or ""), normalise(str(sample.meta.get("report") or ""))


def exact(picture: Image.Image) -> bytes:
    """A hash of what an RGB picture shows, however it was encoded."""
    return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).digest()[:16]
