"""Findings: what a check says, and what two splits share: groups, ids, texts, images, look-alikes.

`SplitContents` is what is remembered of a split while its rows go by: hashes of pictures and texts, never the
pictures. Training splits may share with each other; everything else is a leak, or a look-alike to look at.

The look-alike search uses a difference hash: the image is scaled to 13 x 13 grey levels, and 2 x 144 bits
tell where it gets brighter to the right and downwards. Two images are alike when, of the bits set in either,
at most 12 % differ. Both numbers are measured, on PneumoniaMNIST at 28 pixels, whose X-rays all look the
same (the usual 8 x 8 hash gives distance 0 between different patients there):

    different patients, nearest of 3,882 x 624 pairs             0.158
    a copy of each of 624: as JPEG 75, tripled, or contrast 0.8  at most 0.100, all found
    halved, noise of 3 grey levels, or 1.2 times brighter        at most 0.209, 94 to 99 % found

A copy that is cropped, turned or mirrored is not found. Images with hardly a gradient (fewer than 24 bits
set) are left out: all look alike.
"""

import collections
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from medical_rl.data.options import answer_key
from medical_rl.parsing.response import normalise
from medical_rl.sample import Sample, group_key

# What each check looks for; `--accept NAME` makes its leaks and errors warnings.
CHECKS = {
    "schema": "verl's columns, and as many <image> in the prompt as images",
    "row": "every row can be read back",
    "columns": "what verl and EasyR1 read (prompt, problem, answer, source, id, split) is what the row's "
    "sample says",
    "image": "every image decodes, to one picture for all decoders",
    "gold": "the gold answer scores 1.0 under its own reward, and is among the choices",
    "duplicate": "no id twice, no row twice, no two answers to one question about one image",
    "labels": "no answer in val or test that train never shows",
    "shared_group": "no patient, lesion or study in two splits",
    "shared_id": "no row id in two splits",
    "shared_image": "no image in two splits, pixel for pixel",
    "shared_text": "no long question, and none without an image (told apart by meta's image and report), in "
    "two splits",
    "card": "no warning or note on the card: what the source does not prove, readings that change the task",
    "similar_image": "images of two splits that look alike: for a person to look at",
}
LEVELS = ("leak", "error", "warning", "note")
TRAINING = ("warm_start", "train")
SHOWN = 5
LONG = 25  # words; nobody writes the same case description of this length twice
FORM = 3  # groups; a text asked about so many within one split is a form, not a case
# The same over all splits, which may have divided a form's few groups evenly; a case with a repeated row has
# fewer.
FORM_OVERALL = 5
# Of the look-alike search.
SIDE = 12
MAX_DISTANCE = 0.12
MIN_BITS_SET = 24
_BLOCK = 2048


@dataclass(frozen=True)
class Finding:
    """One thing found; `examples` name rows, and a leak or an error fails the check."""

    check: str
    level: str
    message: str
    examples: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.check not in CHECKS or self.level not in LEVELS:
            raise ValueError(f"There is no check {self.check!r} or no level {self.level!r}.")

    @property
    def fails(self) -> bool:
        """Whether it makes the exit code 1."""
        return self.level in ("leak", "error")


def perceptual_hash(image: Image.Image) -> bytes:
    """The hash of an image, 36 bytes."""
    grey = np.asarray(image.convert("L").resize((SIDE + 1, SIDE + 1), Image.Resampling.LANCZOS), np.int16)
    right, down = grey[:-1, 1:] > grey[:-1, :-1], grey[1:, :-1] > grey[:-1, :-1]
    return np.packbits(np.concatenate([right, down], axis=None)).tobytes()


def hash_distance(one: bytes, other: bytes) -> float:
    """The share of differing bits among those set in either hash, 0 (alike) to 1."""
    return float(_distances(_bits([one]), _bits([other]))[0, 0])


def similar_pairs(ones: list[bytes], others: list[bytes]) -> Iterator[tuple[int, int, float]]:
    """(index in `ones`, index in `others`, distance) of pairs that look alike, in blocks of flat memory."""
    for top in range(0, len(ones), _BLOCK):
        block = _bits(ones[top : top + _BLOCK])
        for left in range(0, len(others), _BLOCK):
            bits = _bits(others[left : left + _BLOCK])
            distances = _distances(block, bits)
            distances[block.sum(axis=1) < MIN_BITS_SET] = 1.0
            distances[:, bits.sum(axis=1) < MIN_BITS_SET] = 1.0
            for i, j in np.argwhere(distances <= MAX_DISTANCE):
                yield top + int(i), left + int(j), float(distances[i, j])


def _bits(hashes: list[bytes]) -> np.ndarray:
    """N x 288, 1.0 where a bit is set."""
    data = np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), -1)
    return np.unpackbits(data, axis=1).astype(np.float32)


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """N x M distances of the rows of two matrices of bits."""
    both = one @ other.T
    either = one.sum(axis=1)[:, None] + other.sum(axis=1)[None] - both
    return (either - both) / np.maximum(either, 1)


class SplitContents:
    """One split: counts, and for every key the first row that has it."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.rows = 0
        self.kinds: collections.Counter[str] = collections.Counter()
        self.answers: collections.Counter[str] = collections.Counter()
        # {answer as a reward takes it: its first spelling}
        self.spellings: dict[str, str] = {}
        self.ids: dict[str, int] = {}
        self.groups: dict[str, str] = {}
        self.texts: dict[bytes, str] = {}
        self.doubtful_texts: dict[bytes, str] = {}
        # Of each text the first FORM groups that it is asked about.
        self.groups_of_text: dict[bytes, set[str]] = collections.defaultdict(set)
        # Of each different picture the row's id, its perceptual hash, and (row, number of the image in it).
        self.pictures: dict[bytes, str] = {}
        self.hashes: list[bytes] = []
        self.places: list[tuple[int, int]] = []
        self.questions: dict[tuple, tuple[str, str]] = {}

    def add(self, sample: Sample, pictures: list[Image.Image]) -> list[tuple[str, str]]:
        """Remember a row; [(level, sentence)] for what it repeats within its split.

        A copy made to fill a batch repeats nothing.
        """
        row, self.rows = self.rows, self.rows + 1
        self.kinds[sample.kind] += 1
        self.answers[self.spellings.setdefault(answer_key(sample), sample.answer)] += 1
        if sample.meta.get("copy"):
            return []
        # Of what an RGB picture shows, however it was encoded.
        keys = tuple(_short_hash(repr(picture.size).encode() + picture.tobytes()) for picture in pictures)
        repetitions = self._repetitions(sample, keys)
        self.ids.setdefault(sample.id, row)
        self.groups.setdefault(group_key(sample), sample.id)
        for number, (key, picture) in enumerate(zip(keys, pictures, strict=True)):
            if key not in self.pictures:
                self.pictures[key] = sample.id
                self.hashes.append(perceptual_hash(picture))
                self.places.append((row, number))
        self._add_text(sample, bool(keys))
        return repetitions

    def _add_text(self, sample: Sample, has_picture: bool) -> None:
        """Remember the question, without a picture together with what it is about, as far as `meta` tells."""
        words, image = normalise(sample.question), ""
        if not has_picture:
            image, report = _subject(sample)
            words = " ".join([words, report] + list(map(normalise, sample.choices)))
        # Generic words about no known image may be asked of two patients.
        is_case = bool(image) or len(words.split()) >= LONG
        if has_picture and not is_case:
            return
        key = _short_hash(repr((words, image)).encode())
        (self.texts if is_case else self.doubtful_texts).setdefault(key, sample.id)
        groups = self.groups_of_text[key]
        if len(groups) < FORM:
            groups.add(group_key(sample))

    def _repetitions(self, sample: Sample, keys: tuple) -> list[tuple[str, str]]:
        repetitions = []
        if sample.id in self.ids:
            repetitions.append(("error", f"the id {sample.id} is in it twice"))
        question = (normalise(sample.question), sample.choices, keys or _subject(sample))
        first, answer = self.questions.setdefault(question, (sample.id, answer_key(sample)))
        if first != sample.id:
            verb = "repeats" if answer == answer_key(sample) else "gives another answer to the question of"
            repetitions.append(("warning", f"{sample.id} {verb} {first}"))
        return repetitions


def _short_hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]


def _subject(sample: Sample) -> tuple[str, str]:
    """(name of the image, words of the report) of a row without its image, "" where not known."""
    return str(sample.meta.get("image") or ""), normalise(str(sample.meta.get("report") or ""))


@dataclass(frozen=True)
class SimilarPair:
    """Two images that look alike: (split, row, number of the image in it) of each, and their distance."""

    one: tuple[str, int, int]
    other: tuple[str, int, int]
    distance: float


def is_form(text: bytes, splits: Sequence[SplitContents]) -> bool:
    """Whether a text is asked about so many groups, of one split or of all, that it is no case: see FORM."""
    groups = [split.groups_of_text.get(text, set()) for split in splits]
    return max(map(len, groups)) >= FORM or len(set().union(*groups)) >= FORM_OVERALL


def find_leaks(
    one: SplitContents, other: SplitContents, splits: Sequence[SplitContents]
) -> Iterator[Finding]:
    """A leak for each kind of thing that both splits have, a warning for short questions without an image.

    `splits` are all of them, which tell a form from a case.
    """
    for check, level, what, name in (
        ("shared_group", "leak", "groups (patients, lesions or studies)", "groups"),
        ("shared_id", "leak", "row ids", "ids"),
        ("shared_image", "leak", "images, pixel for pixel,", "pictures"),
        ("shared_text", "leak", "questions", "texts"),
        ("shared_text", "warning", "short questions without an image", "doubtful_texts"),
    ):
        ours, theirs = getattr(one, name), getattr(other, name)
        examples = []
        for key in theirs:
            if key in ours and not (check == "shared_text" and is_form(key, splits)):
                examples.append(key if name in ("groups", "ids") else f"{ours[key]} and {theirs[key]}")
        if examples:
            message = f"{len(examples):,} {what} are in both {one.split} and {other.split}."
            yield Finding(check, level, message, tuple(examples[:SHOWN]))


def find_similar_images(one: SplitContents, other: SplitContents) -> list[SimilarPair]:
    """Pairs of images that look alike and are not equal."""
    pairs = []
    ours, theirs = list(one.pictures), list(other.pictures)
    for i, j, distance in similar_pairs(one.hashes, other.hashes):
        if ours[i] not in other.pictures and theirs[j] not in one.pictures:
            pairs.append(SimilarPair((one.split, *one.places[i]), (other.split, *other.places[j]), distance))
    return pairs


def find_unseen_answers(splits: Sequence[SplitContents]) -> Iterator[Finding]:
    """A warning for answers of few-class data that are tested and never trained."""
    trained = set()
    for split in splits:
        if split.split in TRAINING:
            trained.update(split.spellings)
    for split in splits:
        unseen = sorted(split.spellings[key] for key in split.spellings.keys() - trained)
        # Free answers and boxes are nearly all different; that none is repeated says nothing.
        if trained and unseen and len(split.answers) <= split.rows / 4:
            message = f"{split.split} has {len(unseen):,} answers that train never shows."
            yield Finding("labels", "warning", message, tuple(map(repr, unseen[:SHOWN])))
