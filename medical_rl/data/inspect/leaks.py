"""The leak check: what two splits share.

`SplitContents` is what is remembered of a split while its rows go by: hashes of pictures and texts, never the
pictures. Training splits may share with each other; everything else is a leak, or a look-alike to look at.
"""

import collections
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from medical_rl.data.inspect.findings import Finding
from medical_rl.data.inspect.perceptual_hash import perceptual_hash, similar_pairs
from medical_rl.parsing.response import normalise
from medical_rl.sample import Sample, group_key

LONG = 25  # words; nobody writes the same case description of this length twice
FORM = 3  # groups; a text asked about so many within one split is a form, not a case
# The same over all splits, which may have divided a form's few groups evenly; a case with a repeated row has
# fewer.
FORM_OVERALL = 5
TRAINING = ("warm_start", "train")
SHOWN = 5


class SplitContents:
    """One split: counts, and for every key the first row that has it."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.rows = 0
        self.kinds: collections.Counter[str] = collections.Counter()
        self.answers: collections.Counter[str] = collections.Counter()
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
        self.answers[sample.answer] += 1
        if sample.meta.get("copy"):
            return []
        keys = tuple(map(pixel_hash, pictures))
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
        key = hashlib.sha256(repr((words, image)).encode()).digest()[:16]
        (self.texts if is_case else self.doubtful_texts).setdefault(key, sample.id)
        groups = self.groups_of_text[key]
        if len(groups) < FORM:
            groups.add(group_key(sample))

    def _repetitions(self, sample: Sample, keys: tuple) -> list[tuple[str, str]]:
        repetitions = []
        if sample.id in self.ids:
            repetitions.append(("error", f"the id {sample.id} is in it twice"))
        question = (normalise(sample.question), sample.choices, keys or _subject(sample))
        first, answer = self.questions.setdefault(question, (sample.id, sample.answer))
        if first != sample.id:
            verb = "repeats" if answer == sample.answer else "gives another answer to the question of"
            repetitions.append(("warning", f"{sample.id} {verb} {first}"))
        return repetitions


def _subject(sample: Sample) -> tuple[str, str]:
    """(name of the image, words of the report) of a row without its image, "" where not known."""
    return str(sample.meta.get("image") or ""), normalise(str(sample.meta.get("report") or ""))


def pixel_hash(picture: Image.Image) -> bytes:
    """A hash of what an RGB picture shows, however it was encoded."""
    return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).digest()[:16]


@dataclass(frozen=True)
class SimilarPair:
    """Two images that look alike: (split, row, number of the image in it) of each, and their distance."""

    one: tuple[str, int, int]
    other: tuple[str, int, int]
    distance: float


def pairs_of_splits(splits: Sequence[SplitContents]) -> Iterator[tuple[SplitContents, SplitContents]]:
    """The pairs of splits that must share nothing."""
    for one, other in itertools.combinations(splits, 2):
        if one.split not in TRAINING or other.split not in TRAINING:
            yield one, other


def is_form(text: bytes, splits: Sequence[SplitContents]) -> bool:
    """Whether a text is asked about so many groups, of one split or of all, that it is no case: see FORM."""
    overall = set()
    for split in splits:
        groups = split.groups_of_text.get(text, set())
        if len(groups) >= FORM:
            return True
        overall |= groups
    return len(overall) >= FORM_OVERALL


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
    """Pairs of images that look alike and are not equal, the nearest first."""
    pairs = []
    ours, theirs = list(one.pictures), list(other.pictures)
    for i, j, distance in similar_pairs(one.hashes, other.hashes):
        if ours[i] not in other.pictures and theirs[j] not in one.pictures:
            pairs.append(SimilarPair((one.split, *one.places[i]), (other.split, *other.places[j]), distance))
    return sorted(pairs, key=lambda pair: pair.distance)


def find_unseen_answers(splits: Sequence[SplitContents]) -> Iterator[Finding]:
    """A warning for answers of few-class data that are tested and never trained."""
    trained = set()
    for split in splits:
        if split.split in TRAINING:
            trained.update(split.answers)
    for split in splits:
        unseen = sorted(set(split.answers) - trained)
        # Free answers and boxes are nearly all different; that none is repeated says nothing.
        if trained and unseen and len(split.answers) <= split.rows / 4:
            message = f"{split.split} has {len(unseen):,} answers that train never shows."
            yield Finding("labels", "warning", message, tuple(map(repr, unseen[:SHOWN])))
