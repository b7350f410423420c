"""What a check remembers of a split while its rows go by: hashes of pictures and texts, never the pictures.

A perceptual hash, and the images of two sets that look alike under it.

The hash is a difference hash: the image is scaled to 13 x 13 grey levels, and 2 x 144 bits tell where it
gets brighter to the right and downwards. Two images are alike when, of the bits set in either, at most
12 % differ. Both numbers are measured, on PneumoniaMNIST at 28 pixels, whose X-rays all look the same:

    different patients, nearest of 3,882 x 624 pairs             0.158
    a copy of each of 624: as JPEG 75, tripled, or contrast 0.8  at most 0.100, all found
    halved, noise of 3 grey levels, or 1.2 times brighter        at most 0.209, 94 to 99 % found

The usual 8 x 8 hash gives distance 0 between different patients there. A copy that is cropped, turned or
mirrored is not found. Images with hardly a gradient (fewer than 24 bits set) are left out: all look alike.
"""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from medical_rl.parsing.response import normalise
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


SIDE = 12
BITS = 2 * SIDE * SIDE
ALIKE = 0.12
LEAST = 24
_BLOCK = 2048


def look(image: Image.Image) -> bytes:
    """The hash of an image, 36 bytes.

    >>> look(Image.new("L", (50, 40), 7)) == bytes(36)
    True
    """
    grey = np.asarray(image.convert("L").resize((SIDE + 1, SIDE + 1), Image.Resampling.LANCZOS), np.int16)
    right, down = grey[:-1, 1:] > grey[:-1, :-1], grey[1:, :-1] > grey[:-1, :-1]
    return np.packbits(np.concatenate([right, down], axis=None)).tobytes()


def distance(one: bytes, other: bytes) -> float:
    """The share of differing bits among those set in either hash, 0 (alike) to 1.

    >>> distance(bytes([0b1101]) + bytes(35), bytes([0b1011]) + bytes(35))
    0.5
    """
    return float(_distances(_bits([one]), _bits([other]))[0, 0])


def alike(ones: list[bytes], others: list[bytes]) -> Iterator[tuple[int, int, float]]:
    """(index in `ones`, index in `others`, distance) of every pair that looks alike, in blocks of flat memory."""
    for top in range(0, len(ones), _BLOCK):
        block = _bits(ones[top : top + _BLOCK])
        for left in range(0, len(others), _BLOCK):
            bits = _bits(others[left : left + _BLOCK])
            found = _distances(block, bits)
            found[(block.sum(axis=1) < LEAST)[:, None] | (bits.sum(axis=1) < LEAST)[None]] = 1.0
            for i, j in np.argwhere(found <= ALIKE):
                yield top + int(i), left + int(j), float(found[i, j])


def _bits(hashes: list[bytes]) -> np.ndarray:
    """N x 288, 1.0 where a bit is set."""
    return np.unpackbits(np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), -1), axis=1).astype(
        np.float32
    )


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    both = one @ other.T
    ones, others = one.sum(axis=1)[:, None], other.sum(axis=1)[None]
    either = ones + others - both
    return (either - both) / np.maximum(either, 1)
