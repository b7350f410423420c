"""How questions become rows, the same in every question reader: the options, their command line, a sentence of the card.

From RULE's questions to samples: one split of them, each with its image, its group and its concepts.

What the readers of IU-Xray, FairVLMed and MIMIC-CXR share. A reader brings an `Images`, which
knows what an image's name means in its dataset and where the file lies.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from medical_rl.data import concepts
from medical_rl.data.drops import Drops
from medical_rl.data.prepare import ahead
from medical_rl.data.prepare.grouped import grouped
from medical_rl.data_preprocess import rule_questions
from medical_rl.data_preprocess.rule_questions import Question
from medical_rl.errors import UserError, unknown
from medical_rl.images import image_size
from medical_rl.sample import Sample

SPLITS = ("train", "val", "test")


def reads(source, *, images: str | None = None, **_) -> list:
    """The folders whose content decides the rows; question files may lie elsewhere, and `describe` tells their content.

    >>> reads("rule", images="kaggle/images", splits="test"), reads("rule")
    (['rule', 'kaggle/images'], ['rule'])
    """
    return [source, images] if images else [source]


@dataclass(frozen=True)
class Options:
    """How questions become rows; the same in every reader.

    splits          seeded: 80/10/10 of the groups by `split_seed`; published: the split its image has elsewhere;
                    test: all are test, as in the papers that test on the whole file
    require_images  False keeps a row whose image is not there, without an image
    doubtful        drop or keep the rows that `data_preprocess.rule_questions` reads with doubt
    concepts        lexicon stores the terms of the question; none
    """

    splits: str = "seeded"
    split_seed: int = 0
    require_images: bool = True
    doubtful: str = "drop"
    concepts: str = "lexicon"

    def __post_init__(self) -> None:
        known = {
            "splits": ("seeded", "published", "test"),
            "doubtful": ("drop", "keep"),
            "concepts": concepts.EXTRACTORS,
        }
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise unknown(f"value of {name}", getattr(self, name), values)


def splits_of(*, splits: str = "seeded", **_) -> tuple[str, ...]:
    """The splits that there are with these parameters of a reader.

    >>> splits_of(splits="test", questions="iuxray_test.jsonl")
    ('test',)
    """
    return ("test",) if splits == "test" else SPLITS


def add(parser: argparse.ArgumentParser) -> None:
    """None; adds those of `Options`, and where the files lie."""
    parser.add_argument(
        "--questions", metavar="FILE", help="the question file (default: every .jsonl in the source)"
    )
    parser.add_argument("--images", metavar="DIR", help="the folder of the images (default: the source)")
    parser.add_argument(
        "--splits", help="seeded, published, test (default: seeded, 80/10/10 by patient or study)"
    )
    parser.add_argument("--split-seed", type=int, metavar="N", help="draws the seeded split (default: 0)")
    parser.add_argument("--doubtful", help="drop, keep: answers read with doubt (default: drop)")
    parser.add_argument("--concepts", help="lexicon, none: the terms stored with a row (default: lexicon)")
    # 0 and not False, which `command.run` takes for an option that was not given.
    parser.add_argument(
        "--without-images",
        dest="require_images",
        action="store_const",
        const=0,
        help="keep rows whose image is not there, without an image",
    )


def split_note(splits: str, seed: int, group: str, published: str) -> str:
    """The sentence of the card that says whose split it is.

    >>> split_note("published", 0, "study", "R2Gen's annotation")
    "The split is that of R2Gen's annotation."
    """
    if splits == "published":
        return f"The split is that of {published}."
    if splits == "test":
        return "All rows are test: there is nothing to train on here."
    return f"The split is ours: 80/10/10 of the rows, whole {group} by {group}, drawn by split_seed={seed}."


ABSENT = "its image is not in the folder"
LEAVES = "the path of its image leaves the folder"
SHARES = {"test": 0.1, "val": 0.1}
NO_SPLIT = "the published splits do not name its image"

Loaded = tuple[tuple[bytes, ...], dict]


class Images(Protocol):
    """What a dataset knows of the image that a question names; a UserError is the reason of a drop."""

    source: str
    restricted: bool

    def group(self, name: str) -> str:
        """The patient or study, from the name alone."""

    def published(self, name: str) -> str | None:
        """The published split, None where it is not known."""

    def there(self, name: str) -> bool:
        """Whether the image is on the disk, without opening it."""

    def load(self, name: str, row: str, drops: Drops) -> Loaded | None:
        """The encoded images and what goes into `meta`; None, told to `drops`, where they cannot be used."""


def samples(
    files: list[Path], split: str, images: Images, options: Options, drops: Drops | None = None
) -> Iterator[Sample]:
    """The samples of one split, streamed; rows left out are told to `drops`.

    Raises UserError at once if no image of any question is there and images are required.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    asked = [q.image for path in files for q in rule_questions.questions(path) if q.image]
    if options.require_images and not any(_quiet(images.there, name) for name in dict.fromkeys(asked)):
        raise UserError(
            f"None of the {len(set(asked)):,} images that {', '.join(path.name for path in files)} asks about is there, "
            f"for instance {asked[0] if asked else 'none'}. Name their folder with images (--images), or take the "
            "questions without them with require_images=false (--without-images)."
        )
    split_of = _splitter(asked, images, options)
    return _stream(files, split, images, options, split_of, Drops() if drops is None else drops)


def _splitter(asked: list[str], images: Images, options: Options) -> Callable[[str], str | None]:
    """The function from an image's name to its split, None where it has none."""
    if options.splits == "test":
        return lambda name: "test"
    if options.splits == "published":
        return lambda name: _quiet(images.published, name)
    groups = {name: _quiet(images.group, name) for name in dict.fromkeys(asked)}
    cut = grouped(((groups[name], "") for name in asked if groups[name]), SHARES, options.split_seed)
    return lambda name: cut.get(groups.get(name))


def _stream(files, split, images, options, split_of, drops) -> Iterator[Sample]:
    def about_one_image(asked: list[Question], drops: Drops) -> list[Sample]:
        found, loaded = [], None
        for question in asked:
            if reason := _refused(question, images, options, split_of(question.image)):
                # The path of a restricted image names a patient, and a card is read by others.
                drops.add(question.id, reason, "" if images.restricted else question.image)
                continue
            # Decoding proves that it is whole, once for all of them.
            loaded = loaded or _load(question, images, options, drops)
            if loaded is not None:
                found.append(_sample(question, split, images, options, *loaded))
        return found

    everything = (question for path in files for question in rule_questions.questions(path))
    # A row without a split is told in every pass, and counted once.
    chosen = (question for question in everything if split_of(question.image) in (split, None))
    # The questions about one image follow each other.
    grouped_by_image = (
        list(asked) for _, asked in itertools.groupby(chosen, key=lambda question: question.image)
    )
    yield from itertools.chain.from_iterable(ahead.rows(about_one_image, grouped_by_image, drops))


def _load(question: Question, images: Images, options: Options, drops: Drops) -> Loaded | None:
    if images.there(question.image):
        return images.load(question.image, question.id, drops)
    if not options.require_images:
        return (), {}
    return drops.add(question.id, ABSENT, "" if images.restricted else question.image)


def _refused(question: Question, images: Images, options: Options, found: str | None) -> str:
    """Why a row cannot be used, as far as that can be told without its image; "" where it can."""
    if question.problem and not (question.doubtful and options.doubtful == "keep"):
        return question.problem
    if leaves(question.image):
        return LEAVES
    try:
        images.group(question.image)
    except UserError as error:
        return str(error)
    return "" if found else NO_SPLIT


def leaves(name: str) -> bool:
    """Whether a path that came with the data leads out of the folder it is looked up in.

    >>> leaves("../0.png"), leaves("/etc/passwd"), leaves("CXR1_IM-0001/0.png")
    (True, True, False)
    """
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or "\0" in name


def _sample(
    question: Question, split: str, images: Images, options: Options, pictures: tuple[bytes, ...], meta: dict
) -> Sample:
    report = {"report": question.report} if question.report else {}
    return Sample(
        id=f"{images.source}/{question.id}",
        source=images.source,
        question=question.text,
        kind="yes_no",
        answer=question.answer,
        choices=("yes", "no"),
        images=pictures,
        group=images.group(question.image),
        split=split,
        restricted=images.restricted,
        concepts=concepts.of(question.text, options.concepts),
        size=image_size(pictures[0]) if pictures else None,
        meta={"image": question.image, **meta, **report},
    )


def _quiet(ask: Callable, name: str):
    """What `ask` says of an image; None where it refuses the name, since that is told when its row comes."""
    try:
        return None if leaves(name) else ask(name)
    except UserError:
        return None
