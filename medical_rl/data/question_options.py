"""How questions become rows, the same in every question reader: the options, their command line, a sentence of the card."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from medical_rl.data import concepts
from medical_rl.errors import unknown

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
    doubtful        drop or keep the rows that `medical_rl.data.rule` reads with doubt
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
    parser.add_argument("--questions", metavar="FILE", help="the question file (default: every .jsonl in the source)")
    parser.add_argument("--images", metavar="DIR", help="the folder of the images (default: the source)")
    parser.add_argument("--splits", help="seeded, published, test (default: seeded, 80/10/10 by patient or study)")
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
