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

The rows of MMMU as published, of some subjects: from the Hub, or from a folder of parquet or JSON files.

One MMMU row as a question: its options read as data, its image marks numbered in the order of its images.
"""

from __future__ import annotations

import ast
import itertools
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from medical_rl.data.drops import Drops
from medical_rl.data.options import BadOptions, by_letter, clean, matching
from medical_rl.data.prepare import command
from medical_rl.data.prepare.grouped import grouped
from medical_rl.data.sources import hub, tables
from medical_rl.data.sources.files import source_folder
from medical_rl.data.sources.image_files import read_image, usable
from medical_rl.errors import UserError, unknown
from medical_rl.images import image_size
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
        source,
        split,
        tuple(subjects),
        short_answers,
        (revision, streaming),
        Drops() if drops is None else drops,
    )


def describe(source, *, revision: str | None = None, **_) -> dict:
    """The facts for the data card."""
    where = f"{source} at revision {revision or 'main'}" if hub.is_hub_id(source) else folder(source).name
    return {
        "source": "MMMU (medical subjects)",
        "file": where,
        "licence": "Apache-2.0",
        "url": "https://huggingface.co/datasets/MMMU/MMMU",
        "doi": "10.1109/CVPR52733.2024.00913",
        "notes": list(NOTES),
    }


def main(argv=None) -> int:
    """The exit code of preparing it by hand; see `medical_rl.data.prepare.command`."""

    def add_options(parser):
        parser.add_argument(
            "--subjects", nargs="+", metavar="NAME", help=f"of {', '.join(SUBJECTS)} (default: all)"
        )
        parser.add_argument("--short-answers", action="store_true", help="keep questions without options")
        parser.add_argument("--revision", help="of the Hub repository (default: main)")

    return command.run("mmmu", argv, add_options)


def _samples(source, split, subjects, short_answers, hub_options, drops) -> Iterator[Sample]:
    published = "validation" if split == "test" else "dev"
    found = published_rows(source, published, subjects, *hub_options)
    if split == "test":
        wanted, found = None, found
    else:
        # The dev set is 5 rows a subject with a few images: small enough to be held twice.
        held = list(found)
        placed = grouped(((row["id"], subject(row)) for row in held), {"val": 0.2}, seed=0)
        wanted, found = {name for name, place in placed.items() if place == split}, iter(held)
    for row in found:
        if wanted is None or row["id"] in wanted:
            sample = _sample(row, split, short_answers, source, drops)
            if sample is not None:
                yield sample


def _sample(row: Mapping, split: str, short_answers: bool, source, drops: Drops) -> Sample | None:
    """The sample of a row; None, with the reason in `drops`, where it cannot be asked."""
    try:
        question, choices, answer, columns = asked(row)
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
            "subject": subject(row),
            "thought": row.get("explanation") or "",
            **({} if choices else {"accepted": accepted(row["answer"])}),
        },
    )


def _image(row: Mapping, column: str, source, drops: Drops) -> bytes | None:
    """The image in a column: bytes, `{"bytes": ...}` as parquet holds it, or a path in the source folder."""
    value = row.get(column)
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str) and not hub.is_hub_id(source):
        return read_image(folder(source), value, row["id"], drops)
    if not isinstance(value, bytes):
        return drops.add(row["id"], "an image that it names is not there", column)
    return usable(value, row["id"], drops)


COLUMNS = ("id", "question", "options", "answer", "question_type")


def published_rows(
    source, published: str, subjects: tuple[str, ...], revision: str | None, streaming: bool
) -> Iterator[dict]:
    """The rows of a published split ("dev" or "validation") whose id names one of the subjects, each id once.

    Copies of MMMU keep a subject in a file or folder of its own, or all of them in one; both are read.
    """
    found, seen = (
        (_hub if hub.is_hub_id(source) else _local)(source, published, subjects, revision, streaming),
        set(),
    )
    for index, row in enumerate(found):
        if missing := [name for name in COLUMNS if name not in row]:
            raise UserError(
                f"Row {index} of {published} in {source} lacks {', '.join(missing)}; it has {', '.join(map(str, row))}."
            )
        if subject(row) in subjects and row["id"] not in seen:
            seen.add(row["id"])
            yield row


def subject(row: Mapping) -> str:
    """The subject in an id.

    >>> subject({"id": "validation_Public_Health_3"})
    'Public_Health'
    """
    return "_".join(str(row["id"]).split("_")[1:-1])


def folder(source) -> Path:
    """The source folder; UserError where there is none."""
    return source_folder(source, 'It should hold the files of MMMU; or give the Hub id "MMMU/MMMU".')


def _hub(source, published, subjects, revision, streaming) -> Iterator[dict]:
    known = hub.configs(source, revision)
    for name in [subject for subject in subjects if subject in known] or [None]:
        yield from hub.rows(source, published, config=name, revision=revision, streaming=streaming)


def _local(source, published, subjects, *_) -> Iterator[dict]:
    root = folder(source)
    files = [p for p in sorted(root.rglob(f"*{published}*")) if p.suffix.lower() in tables.SUFFIXES]
    if not files:
        raise UserError(
            f"{root.absolute()} has no parquet or JSON file with {published!r} in its name. Download MMMU/MMMU from the "
            "Hugging Face Hub with its folders, or give that id as the source."
        )
    own = [path for path in files if path.parent.name in subjects]
    return itertools.chain.from_iterable(tables.read_rows(path) for path in own or files)


MAX_OPTIONS_LENGTH = 20_000
_IMAGE = re.compile(r"<image (\d+)>")


def options(text) -> list[str]:
    """The options in a row's own order; a text is a Python list of strings, parsed and never evaluated; else BadOptions.

    >>> options("['A, B', \\"it's\\"]")
    ['A, B', "it's"]
    >>> options("__import__('os').getcwd()")
    Traceback (most recent call last):
    ...
    medical_rl.data.options.BadOptions: its options are not a list of texts
    """
    found = text
    if isinstance(text, str):
        try:
            found = ast.literal_eval(text) if len(text) <= MAX_OPTIONS_LENGTH else None
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            found = None
    if not isinstance(found, list) or not all(isinstance(option, str) for option in found):
        raise BadOptions("its options are not a list of texts")
    return found


def asked(row: Mapping) -> tuple[str, tuple[str, ...], str, list[str]]:
    """(question, choices, answer, columns of its images in order); choices are () for a short answer; else BadOptions.

    >>> row = {"question": "Is <image 2> like <image 1>?", "options": "['yes', '<image 1>']", "answer": "B"}
    >>> asked(row | {"question_type": "multiple-choice"})
    ('Is image 1 like image 2?', ('yes', 'image 2'), 'image 2', ['image_2', 'image_1'])
    """
    listed = options(row["options"])
    used = list(dict.fromkeys(_IMAGE.findall(" ".join([str(row["question"]), *listed]))))
    # Some questions show an image and never name it.
    used = used or [str(n) for n in range(1, 8) if row.get(f"image_{n}")]
    number = {old: new for new, old in enumerate(used, start=1)}

    def renumbered(text: str) -> str:
        return _IMAGE.sub(lambda mark: f"image {number[mark[1]]}", text).strip()

    question, columns = renumbered(str(row["question"])), [f"image_{old}" for old in used]
    if row["question_type"] != "multiple-choice":
        return question, (), accepted(row["answer"])[0], columns
    if str(row["answer"]).strip() in ("", "?"):
        raise BadOptions("its answer is not public")
    listed = [renumbered(option) for option in listed]
    choices = clean(listed)
    return question, choices, matching(by_letter(row["answer"], listed), choices), columns


def accepted(answer) -> list[str]:
    """The accepted short answers, at least one; several come as a Python list in a text. Else BadOptions.

    >>> accepted("['0.25', '1/4']"), accepted("24/7")
    (['0.25', '1/4'], ['24/7'])
    """
    text = str(answer).strip()
    if text in ("", "?"):
        raise BadOptions("its answer is not public")
    found = [one.strip() for one in (options(text) if text.startswith("[") else [text]) if one.strip()]
    if not found:
        raise BadOptions("its list of accepted answers is empty")
    return found


if __name__ == "__main__":
    sys.exit(main())
