"""RULE's questions as samples: the options, their command line, and the rows of one split.

What the readers of IU-Xray, FairVLMed and MIMIC-CXR share. A reader brings an `Images`, which knows what an
image's name means in its dataset and where the file lies.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from medical_rl.data import concepts
from medical_rl.data.drops import Drops
from medical_rl.data.prepare import fingerprint, parallel
from medical_rl.data.prepare.group_splits import split_by_group
from medical_rl.data_preprocess import file_names, rule_questions
from medical_rl.data_preprocess.rule_questions import Question
from medical_rl.errors import UserError, check_known
from medical_rl.images import image_size
from medical_rl.sample import Sample

SPLITS = ("train", "val", "test")
SHARES = {"test": 0.1, "val": 0.1}
ABSENT = "its image is not in the folder"
LEAVES = "the path of its image leaves the folder"
NO_SPLIT = "the published splits do not name its image"

Loaded = tuple[tuple[bytes, ...], dict]


@dataclass(frozen=True)
class Options:
    """How questions become rows; the same in every reader.

    splits          seeded: 80/10/10 of the groups by `split_seed`; published: the split its image has
                    elsewhere; test: all are test, as in the papers that test on the whole file
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
        check_known("value of splits", self.splits, ("seeded", "published", "test"))
        check_known("value of doubtful", self.doubtful, ("drop", "keep"))
        check_known("value of concepts", self.concepts, concepts.EXTRACTORS)


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
    check_known("split", split, SPLITS)
    names = [question.image for question in _questions(files) if question.image]
    distinct = list(dict.fromkeys(names))
    if options.require_images and not any(_quietly(images.there, name) for name in distinct):
        raise UserError(
            f"None of the {len(distinct):,} images that {file_names(files)} asks "
            f"about is there, for instance {names[0] if names else 'none'}. Name their folder with images "
            "(--images), or take the questions without them with require_images=false (--without-images)."
        )
    split_of = _splitter(names, images, options)
    return _stream(files, split, images, options, split_of, drops or Drops())


def splits_of(*, splits: str = "seeded", **_) -> tuple[str, ...]:
    """The splits that there are with these parameters of a reader.

    >>> splits_of(splits="test", questions="iuxray_test.jsonl")
    ('test',)
    """
    return ("test",) if splits == "test" else SPLITS


def content_paths(source, *, images: str | None = None, **_) -> list:
    """The folders whose content decides the rows; question files may lie elsewhere, and `describe` tells
    their content.

    >>> content_paths("rule", images="kaggle/images", splits="test"), content_paths("rule")
    (['rule', 'kaggle/images'], ['rule'])
    """
    return [source, images] if images else [source]


def content_hashes(files: list[Path]) -> dict[str, str | None]:
    """{name: SHA-256} of the question files, for the card."""
    return {path.name: fingerprint.content_hash(path) for path in files}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add those of `Options`, and where the files lie, to a command line."""
    add = parser.add_argument
    add("--questions", metavar="FILE", help="the question file (default: every .jsonl in the source)")
    add("--images", metavar="DIR", help="the folder of the images (default: the source)")
    add("--splits", help="seeded, published, test (default: seeded, 80/10/10 by patient or study)")
    add("--split-seed", type=int, metavar="N", help="draws the seeded split (default: 0)")
    add("--doubtful", help="drop, keep: answers read with doubt (default: drop)")
    add("--concepts", help="lexicon, none: the terms stored with a row (default: lexicon)")
    # 0 and not False, which `command.run` takes for an option that was not given.
    told = "keep rows whose image is not there, without an image"
    add("--without-images", dest="require_images", action="store_const", const=0, help=told)


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


def leaves_folder(name: str) -> bool:
    """Whether a path that came with the data leads out of the folder it is looked up in.

    >>> leaves_folder("../0.png"), leaves_folder("/etc/passwd"), leaves_folder("CXR1_IM-0001/0.png")
    (True, True, False)
    """
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or "\0" in name


def _questions(files: list[Path]) -> Iterator[Question]:
    return itertools.chain.from_iterable(map(rule_questions.questions, files))


def _quietly(ask: Callable, name: str):
    """What `ask` says of an image; None where it refuses the name, since that is told when its row comes."""
    try:
        return None if leaves_folder(name) else ask(name)
    except UserError:
        return None


def _splitter(names: list[str], images: Images, options: Options) -> Callable[[str], str | None]:
    """The function from an image's name to its split, None where it has none."""
    if options.splits == "test":
        return lambda name: "test"
    if options.splits == "published":
        return lambda name: _quietly(images.published, name)
    groups = {name: _quietly(images.group, name) for name in names}
    pairs = [(groups[name], "") for name in names if groups[name]]
    splits = split_by_group(pairs, SHARES, options.split_seed)
    return lambda name: splits.get(groups.get(name))


def _stream(files, split, images, options, split_of, drops) -> Iterator[Sample]:
    def samples_of_image(questions: list[Question], drops: Drops) -> list[Sample]:
        made, loaded = [], None
        for question in questions:
            reason = _problem(question, images, options, split_of(question.image))
            if reason:
                drops.add(question.id, reason, _told_name(question, images))
                continue
            # Decoding proves that it is whole, once for all of them.
            loaded = loaded or _load(question, images, options, drops)
            if loaded is not None:
                made.append(_sample(question, split, images, options, loaded))
        return made

    # A row without a split is told in every pass, and counted once.
    chosen = filter(lambda question: split_of(question.image) in (split, None), _questions(files))
    # The questions about one image follow each other.
    by_image = itertools.groupby(chosen, key=lambda question: question.image)
    questions_of_images = (list(questions) for _, questions in by_image)
    for made in parallel.parallel_map(samples_of_image, questions_of_images, drops):
        yield from made


def _problem(question: Question, images: Images, options: Options, split: str | None) -> str:
    """Why a row cannot be used, as far as that can be told without its image; "" where it can."""
    if question.problem and not (question.doubtful and options.doubtful == "keep"):
        return question.problem
    if leaves_folder(question.image):
        return LEAVES
    try:
        images.group(question.image)
    except UserError as error:
        return str(error)
    return "" if split else NO_SPLIT


def _load(question: Question, images: Images, options: Options, drops: Drops) -> Loaded | None:
    if images.there(question.image):
        return images.load(question.image, question.id, drops)
    if not options.require_images:
        return (), {}
    return drops.add(question.id, ABSENT, _told_name(question, images))


def _told_name(question: Question, images: Images) -> str:
    # The path of a restricted image names a patient, and a card is read by others.
    return "" if images.restricted else question.image


def _sample(question: Question, split: str, images: Images, options: Options, loaded: Loaded) -> Sample:
    pictures, image_facts = loaded
    meta = {"image": question.image, **image_facts}
    if question.report:
        meta["report"] = question.report
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
        concepts=concepts.concepts_of(question.text, options.concepts),
        size=image_size(pictures[0]) if pictures else None,
        meta=meta,
    )
