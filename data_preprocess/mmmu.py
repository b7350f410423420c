"""MMMU, its five medical subjects: college exam questions about one or more images, 2 to 10 options.

Source: MMMU (Yue et al., CVPR 2024, arXiv 2311.16502); `source` is the Hub id "MMMU/MMMU", or a folder with its parquet
(or JSON) files, named after their split and, where a file holds one subject, in that subject's folder.
Licence: Apache-2.0; the pictures come from textbooks and lectures and stay their owners'.
One row, validation_Basic_Medical_Science_2: question "The tissue shown in <image 1> is", one micrograph, options "Cardiac
muscle", "Bone", "Skeletal muscle", answer C.
What the splits do not prove: the answers of MMMU's own test are not public, so `test` here is its validation set, as in
most papers, of which models may have seen a copy. Train and val are its 25 worked examples (dev): enough to run a recipe,
not enough to learn from. 30 questions a subject give a 95 % interval of about 18 points either way.

In a question "<image 2>" becomes "image 2", counted in the order in which the images are given; an option that is an
image becomes such a name too. Short answers have no options, so no strict grader; they are left out unless asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

if __name__ == "__main__" and not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from medical_rl.data import command, hub, mmmu_files, mmmu_row
from medical_rl.data.drops import Drops
from medical_rl.data.grouped import grouped
from medical_rl.data.image_files import read_image, usable
from medical_rl.data.images import image_size
from medical_rl.data.options import BadOptions
from medical_rl.errors import unknown
from medical_rl.sample import Sample

SPLITS = ("train", "val", "test")
SUBJECTS = (
    "Basic_Medical_Science",
    "Clinical_Medicine",
    "Diagnostics_and_Laboratory_Medicine",
    "Pharmacy",
    "Public_Health",
)
NOTES = (
    "test is MMMU's validation set, since the answers of its test set are not public; train and val are its dev set.",
    "30 questions a subject: a difference of a few points between two models may be chance.",
)


def rows(
    source,
    split: str,
    *,
    subjects=SUBJECTS,
    short_answers: bool = False,
    revision: str | None = None,
    streaming: bool = True,
    drops: Drops | None = None,
) -> Iterator[Sample]:
    """The samples of one split, kind "choice"; what cannot be asked goes to `drops` with its reason.

    subjects       names as in the ids of the questions
    short_answers  keep the questions without options, as kind "label" without choices: right only when word for word the
                   first accepted answer; all of them are in meta["accepted"]
    revision       of the Hub repository: a branch, tag or commit
    streaming      read the Hub repository while it downloads, keeping nothing on disk
    """
    if split not in SPLITS:
        raise unknown("split of MMMU", split, SPLITS)
    if missing := [subject for subject in subjects if subject not in SUBJECTS]:
        raise unknown("medical subject of MMMU", missing[0], SUBJECTS)
    return _samples(
        source, split, tuple(subjects), short_answers, (revision, streaming), Drops() if drops is None else drops
    )


def describe(source, *, revision: str | None = None, **_) -> dict:
    """The facts for the data card."""
    where = f"{source} at revision {revision or 'main'}" if hub.is_hub_id(source) else mmmu_files.folder(source).name
    return {
        "source": "MMMU (medical subjects)",
        "file": where,
        "licence": "Apache-2.0",
        "url": "https://huggingface.co/datasets/MMMU/MMMU",
        "doi": "10.1109/CVPR52733.2024.00913",
        "notes": list(NOTES),
    }


def main(argv=None) -> int:
    """The exit code of preparing it by hand; see `medical_rl.data.command`."""

    def add_options(parser):
        parser.add_argument("--subjects", nargs="+", metavar="NAME", help=f"of {', '.join(SUBJECTS)} (default: all)")
        parser.add_argument("--short-answers", action="store_true", help="keep questions without options")
        parser.add_argument("--revision", help="of the Hub repository (default: main)")

    return command.run("mmmu", argv, add_options)


def _samples(source, split, subjects, short_answers, hub_options, drops) -> Iterator[Sample]:
    published = "validation" if split == "test" else "dev"
    found = mmmu_files.rows(source, published, subjects, *hub_options)
    if split == "test":
        wanted, found = None, found
    else:
        # The dev set is 5 rows a subject with a few images: small enough to be held twice.
        held = list(found)
        placed = grouped(((row["id"], mmmu_files.subject(row)) for row in held), {"val": 0.2}, seed=0)
        wanted, found = {name for name, place in placed.items() if place == split}, iter(held)
    for row in found:
        if wanted is None or row["id"] in wanted:
            sample = _sample(row, split, short_answers, source, drops)
            if sample is not None:
                yield sample


def _sample(row: Mapping, split: str, short_answers: bool, source, drops: Drops) -> Sample | None:
    """The sample of a row; None, with the reason in `drops`, where it cannot be asked."""
    try:
        question, choices, answer, columns = mmmu_row.asked(row)
    except BadOptions as error:
        return drops.add(row["id"], str(error))
    if not choices and not short_answers:
        return drops.add(row["id"], "it has no options, and a short answer cannot be graded strictly")
    images = []
    for column in columns:
        image = _image(row, column, source, drops)
        if image is None:
            return None
        images.append(image)
    return Sample(
        id=row["id"],
        source="mmmu_medical",
        question=question,
        kind="choice" if choices else "label",
        answer=answer,
        choices=choices,
        images=tuple(images),
        group=row["id"],
        split=split,
        size=image_size(images[0]) if images else None,
        meta={
            "subject": mmmu_files.subject(row),
            "thought": row.get("explanation") or "",
            **({} if choices else {"accepted": mmmu_row.accepted(row["answer"])}),
        },
    )


def _image(row: Mapping, column: str, source, drops: Drops) -> bytes | None:
    """The image in a column: bytes, `{"bytes": ...}` as parquet holds it, or a path in the source folder."""
    value = row.get(column)
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str) and not hub.is_hub_id(source):
        return read_image(mmmu_files.folder(source), value, row["id"], drops)
    if not isinstance(value, bytes):
        return drops.add(row["id"], "an image that it names is not there", column)
    return usable(value, row["id"], drops)


if __name__ == "__main__":
    sys.exit(main())
