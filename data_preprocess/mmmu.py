"""MMMU, its five medical subjects: college exam questions about one or more images, 2 to 26 options.

Source: MMMU (Yue et al., CVPR 2024, arXiv 2311.16502); `source` is the Hub id "MMMU/MMMU", or a folder
with its parquet (or JSON) files, named after their split and, where a file holds one subject, in that
subject's folder.
Licence: Apache-2.0; the pictures come from textbooks and lectures and stay their owners'.
One row, validation_Basic_Medical_Science_2: question "The tissue shown in <image 1> is", one micrograph,
options "Cardiac muscle", "Bone", "Skeletal muscle", answer C.
What the splits do not prove: the answers of MMMU's own test are not public, so `test` here is its validation
set, as in most papers, of which models may have seen a copy. Train and val are its 25 worked examples (dev):
enough to run a recipe, not enough to learn from. 30 questions a subject give a 95 % interval of about 18
points either way.

In a question "<image 2>" becomes "image 2", counted in the order in which the images are given; an option
that is an image becomes such a name too. Short answers have no options, so no strict grader; they are left
out unless asked for. Options are read as data and never run.
"""

import ast
import functools
import itertools
import re
import sys
from collections.abc import Iterator, Mapping

from medical_rl.data.options import BadOptions, clean_options, matching_option, option_at_letter, text_of
from medical_rl.data.prepare import command
from medical_rl.data.prepare.sampling import split_by_group
from medical_rl.data.rows import Drops
from medical_rl.data.sources import hub, tables
from medical_rl.data.sources.files import ImageFolder, checked_image, source_folder
from medical_rl.errors import UserError, check_known
from medical_rl.images import image_size
from medical_rl.sample import Sample

SPLITS = ("train", "val", "test")
SUBJECTS = (
    "Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine", "Pharmacy",
    "Public_Health",
)  # fmt: skip
COLUMNS = ("id", "question", "options", "answer", "question_type")
MAX_OPTIONS_LENGTH = 20_000
WHAT = 'It should hold the files of MMMU; or give the Hub id "MMMU/MMMU".'
_IMAGE = re.compile(r"<image (\d+)>")
NOTES = (
    "test is MMMU's validation set, since the answers of its test set are not public; train and val are "
    "its dev set.",
    "30 questions a subject: a difference of a few points between two models may be chance.",
)


def rows(
    source, split: str, *, subjects=SUBJECTS, short_answers: bool = False, revision: str | None = None,
    streaming: bool = True, drops: Drops | None = None,
) -> Iterator[Sample]:  # fmt: skip
    """The samples of one split, kind "choice"; what cannot be asked goes to `drops` with its reason.

    subjects       names as in the ids of the questions
    short_answers  keep the questions without options, as kind "label" without choices: right only when word
                   for word the first accepted answer; all of them are in meta["accepted"]
    revision       of the Hub repository: a branch, tag or commit
    streaming      read the Hub repository while it downloads, keeping nothing on disk
    """
    check_known("split of MMMU", split, SPLITS)
    for name in subjects:
        check_known("medical subject of MMMU", name, SUBJECTS)
    name = "validation" if split == "test" else "dev"
    published = published_rows(source, name, tuple(subjects), revision, streaming)
    if split != "test":
        # The dev set is 5 rows a subject with a few images: small enough to be held twice.
        published = list(published)
        split_of = split_by_group([(row["id"], subject(row)) for row in published], {"val": 0.2}, seed=0)
        published = (row for row in published if split_of[row["id"]] == split)
    drops = drops or Drops()
    folder = None if hub.is_hub_id(source) else ImageFolder(source_folder(source, WHAT))
    samples = (_sample(row, split, short_answers, folder, drops) for row in published)
    return filter(None, samples)


def describe(source, *, revision: str | None = None, **_) -> dict:
    """The facts for the data card."""
    file = (
        f"{source} at revision {revision or 'main'}"
        if hub.is_hub_id(source)
        else source_folder(source, WHAT).name
    )
    return {
        "source": "MMMU (medical subjects)",
        "file": file,
        "licence": "Apache-2.0",
        "url": "https://huggingface.co/datasets/MMMU/MMMU",
        "doi": "10.1109/CVPR52733.2024.00913",
        "notes": list(NOTES),
    }


def add_options(parser) -> None:
    """Add the options of `rows` to a command line."""
    subjects = f"of {', '.join(SUBJECTS)} (default: all)"
    parser.add_argument("--subjects", nargs="+", metavar="NAME", help=subjects)
    parser.add_argument("--short-answers", action="store_true", help="keep questions without options")
    parser.add_argument("--revision", help="of the Hub repository (default: main)")


main = functools.partial(command.run, "mmmu", add_options=add_options)


def published_rows(
    source, published: str, subjects: tuple[str, ...], revision: str | None, streaming: bool
) -> Iterator[dict]:
    """The rows of a published split ("dev" or "validation") of these subjects, each id once.

    Copies of MMMU keep a subject in a file or folder of its own, or all of them in one; both are read.
    """
    if hub.is_hub_id(source):
        known = hub.configs(source, revision)
        copy = itertools.chain.from_iterable(
            hub.rows(source, published, config=name, revision=revision, streaming=streaming)
            for name in [subject for subject in subjects if subject in known] or [None]
        )
    else:
        copy = _local_rows(source, published, subjects)
    ids = set()
    for index, row in enumerate(copy):
        missing = [name for name in COLUMNS if name not in row]
        if missing:
            raise UserError(
                f"Row {index} of {published} in {source} lacks {', '.join(missing)}; "
                f"it has {', '.join(map(str, row))}."
            )
        if subject(row) in subjects and row["id"] not in ids:
            ids.add(row["id"])
            yield row


def subject(row: Mapping) -> str:
    """The subject in an id.

    >>> subject({"id": "validation_Public_Health_3"})
    'Public_Health'
    """
    return "_".join(str(row["id"]).split("_")[1:-1])


def question_parts(row: Mapping) -> tuple[str, tuple[str, ...], str, list[str]]:
    """The (question, choices, answer, columns of its images); choices are () for a short answer.

    Raises BadOptions where it cannot be asked.

    >>> row = {"question": "Is <image 2> like <image 1>?", "options": "['yes', '<image 1>']", "answer": "B"}
    >>> question_parts(row | {"question_type": "multiple-choice"})
    ('Is image 1 like image 2?', ('yes', 'image 2'), 'image 2', ['image_2', 'image_1'])
    """
    listed = read_options(row["options"])
    question = text_of(row["question"], "its question")
    marks = _IMAGE.findall(" ".join([question, *listed]))
    # Some questions show an image and never name it.
    numbers = list(dict.fromkeys(marks)) or [n for n in "1234567" if row.get(f"image_{n}")]

    def renumbered(text: str) -> str:
        return _IMAGE.sub(lambda mark: f"image {numbers.index(mark[1]) + 1}", text).strip()

    question, columns = renumbered(question), [f"image_{n}" for n in numbers]
    if row["question_type"] != "multiple-choice":
        return question, (), accepted_answers(row["answer"])[0], columns
    if text_of(row["answer"], "its answer") in ("", "?"):
        raise BadOptions("its answer is not public")
    listed = list(map(renumbered, listed))
    choices = clean_options(listed)
    return question, choices, matching_option(option_at_letter(row["answer"], listed), choices), columns


def read_options(text) -> list[str]:
    """The options in a row's own order; a text is a Python list, parsed and never evaluated.

    Raises BadOptions where they are not a list of texts.

    >>> read_options("['A, B', \\"it's\\"]")
    ['A, B', "it's"]
    >>> read_options("__import__('os').getcwd()")
    Traceback (most recent call last):
    ...
    medical_rl.data.options.BadOptions: its options are not a list of texts
    """
    listed = text
    if isinstance(text, str):
        try:
            listed = ast.literal_eval(text) if len(text) <= MAX_OPTIONS_LENGTH else None
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            listed = None
    if not isinstance(listed, list) or not all(isinstance(option, str) for option in listed):
        raise BadOptions("its options are not a list of texts")
    return listed


def accepted_answers(answer) -> list[str]:
    """The accepted short answers, at least one; several come as a Python list in a text.

    Raises BadOptions where there is none.
    """
    if isinstance(answer, list):
        listed = read_options(answer)
    else:
        text = text_of(answer, "its answer")
        if text in ("", "?"):
            raise BadOptions("its answer is not public")
        listed = read_options(text) if text.startswith("[") else [text]
    answers = list(filter(None, map(str.strip, listed)))
    if not answers:
        raise BadOptions("its list of accepted answers is empty")
    return answers


def _sample(
    row: Mapping, split: str, short_answers: bool, folder: ImageFolder | None, drops: Drops
) -> Sample | None:
    """The sample of a row; None, with the reason in `drops`, where it cannot be asked."""
    try:
        question, choices, answer, columns = question_parts(row)
        thought = text_of(row.get("explanation"), "its explanation")
    except BadOptions as error:
        return drops.add(row["id"], str(error))
    if not choices and not short_answers:
        return drops.add(row["id"], "it has no options, and a short answer cannot be graded strictly")
    images = []
    for column in columns:
        image = _image(row, column, folder, drops)
        if image is None:
            return None
        images.append(image)
    meta = {"subject": subject(row), "thought": thought}
    if not choices:
        meta["accepted"] = accepted_answers(row["answer"])
    return Sample(
        id=row["id"], source="mmmu_medical", question=question, kind="choice" if choices else "label",
        answer=answer, choices=choices, images=tuple(images), group=row["id"], split=split,
        size=image_size(images[0]) if images else None, meta=meta,
    )  # fmt: skip


def _image(row: Mapping, column: str, folder: ImageFolder | None, drops: Drops) -> bytes | None:
    """The image in a column: bytes, `{"bytes": ...}` as parquet holds it, or a path in the source folder."""
    value = row.get(column)
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str) and folder is not None:
        return folder.read(value, row["id"], drops)
    if not isinstance(value, bytes):
        return drops.add(row["id"], "an image that it names is not there", column)
    return checked_image(value, row["id"], drops)


def _local_rows(source, published: str, subjects) -> Iterator[dict]:
    root = source_folder(source, WHAT)
    files = [path for path in sorted(root.rglob(f"*{published}*")) if path.suffix.lower() in tables.SUFFIXES]
    if not files:
        raise UserError(
            f"{root.absolute()} has no parquet or JSON file with {published!r} in its name. Download "
            "MMMU/MMMU from the Hugging Face Hub with its folders, or give that id as the source."
        )
    own = [path for path in files if path.parent.name in subjects]
    return itertools.chain.from_iterable(map(tables.read_rows, own or files))


if __name__ == "__main__":
    sys.exit(main())
