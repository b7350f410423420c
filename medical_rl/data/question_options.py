"""What the question readers share beside their rows: options of the command line, a sentence of the card."""

from __future__ import annotations

import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """None; adds the options of `medical_rl.data.question_rows.Options`, and where the files lie."""
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
