"""RULE's files (Xia et al., EMNLP 2024): yes/no questions about images, their rows, the reports to retrieve.

A question file holds one JSON object a line: `question` (ending in an "<image>" of its own), `answer` (free
text: 318 spellings in the one of IU-Xray), `image`, `question_id`, `report` and, but for MIMIC-CXR, `text`. A
language model wrote questions and answers from the reports, and left fragments, refusals and whole numbered
lists among them: what is no answer is never guessed.
"""

import argparse
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from medical_rl.data import concepts
from medical_rl.data.options import BadOptions, text_of
from medical_rl.data.prepare import readers
from medical_rl.data.prepare.sampling import split_by_group
from medical_rl.data.rows import Drops, parallel_map
from medical_rl.data.sources import tables
from medical_rl.data.sources.files import source_folder
from medical_rl.data_preprocess import file_names
from medical_rl.errors import UserError, check_known
from medical_rl.images import image_size
from medical_rl.sample import Sample

SPLITS = ("train", "val", "test")
SHARES = {"test": 0.1, "val": 0.1}
KEYS = ("question", "answer", "image")

NEITHER = "the answer is neither yes nor no"
NOT_AN_ANSWER = 'its "No" or "Yes" begins a sentence, such as "No information is provided", and is no answer'
FRAGMENT = "the question is empty or a fragment"
ANSWERED = "the question holds its own answer"
NO_IMAGE = "the row names no image"
TWICE = "the question_id came before"
NOT_A_ROW = "the line is not a JSON object"
ABSENT = "its image is not in the folder"
LEAVES = "the path of its image leaves the folder"
NO_SPLIT = "the published splits do not name its image"

Loaded = tuple[tuple[bytes, ...], dict]  # the encoded images, and what goes into the row's meta

# The files write "Yes.", "- No", "No (as the lungs are clear)" and "No information on masses is provided".
_ANSWER = re.compile(r"[\s\-*•]*(yes|no)\b(\s+\w)?", re.IGNORECASE)
_HOLDS_ANSWER = re.compile(r"\?[\s\-]*(yes|no)\W*$", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """One row of a question file; `problem` is why it cannot be used, `doubtful` of which sort."""

    id: str
    text: str = ""
    answer: str = ""
    image: str = ""
    report: str = ""
    problem: str = ""
    doubtful: bool = False


def questions(path: Path) -> Iterator[Question]:
    """Every row of a question file, usable or not, in order; UserError where the file is none."""
    ids: set[str] = set()
    for number, record in tables.read_lines(path):
        if record is None:
            yield Question(f"{path.stem}/line {number}", problem=NOT_A_ROW)
            continue
        row_id = f"{path.stem}/{record.get('question_id', number)}"
        texts = {}
        for key in (*KEYS, "report"):
            value = record.get(key)
            texts[key] = value if isinstance(value, str) else ""
        text = " ".join(
            texts["question"].replace("<image>", " ").split()
        )  # the prompt's template places images
        problem, doubtful = _problem(text, texts["answer"], texts["image"])
        if row_id in ids:
            row_id, problem, doubtful = f"{row_id} again on line {number}", TWICE, False
        ids.add(row_id)
        answer, report = yes_no(texts["answer"]) or "", texts["report"].strip()
        yield Question(row_id, text, answer, texts["image"], report, problem, doubtful)


def question_files(folder: Path, named: str | list | None) -> list[Path]:
    """The question files that are named, else every .jsonl file in `folder`; each has the right keys."""
    names = [named] if isinstance(named, str) else list(named or ())
    paths = [folder / Path(name).expanduser() for name in names] or sorted(folder.glob("*.jsonl"))
    if not paths:
        raise UserError(
            f"There is no question file (*.jsonl) in {folder.absolute()}. RULE publishes them in the "
            "folder data/test of its repository (richard-peng-xia/RULE); put one there, or name it with "
            "questions (--questions)."
        )
    if len({path.stem for path in paths}) < len(paths):
        told = ", ".join(map(str, paths))
        raise UserError(f"Two question files have one name: {told}. Rename one: ids begin with it.")
    for path in paths:
        first = next((record for _, record in tables.read_lines(path) if record), {})
        missing = [name for name in KEYS if name not in first]
        if missing:
            told = f"its rows lack {', '.join(missing)}; they have {', '.join(first) or 'nothing'}"
            raise UserError(f"{path.absolute()} is no question file: {told}.")
    return paths


def yes_no(answer: str) -> str | None:
    """ "yes" or "no" where the answer begins with that word, else None."""
    match = _ANSWER.match(answer)
    return match[1].lower() if match else None


def retriever_files(*folders: Path) -> list[Path]:
    """The retrieval files (*retriever*.json) of the first of the folders that has any."""
    for folder in folders:
        paths = sorted(folder.glob("*retriever*.json"))
        if paths:
            return paths
    return []


def corpus(
    path: Path, group: Callable[[str], str], patient: Callable[[dict], str] | None = None
) -> Iterator[dict]:
    """The reports of a retrieval file: id, text, study, split; and group where `patient` finds one."""
    for entry in tables.read_objects(path, ("id", "report")):
        try:
            text_of(entry["report"], "its report")
        except BadOptions as error:
            raise UserError(
                f"The entry {entry['id']} of {path.absolute()} cannot be used: {error}."
            ) from error
        study, split = group(str(entry["id"])), entry.get("split", "")
        report = {"id": entry["id"], "text": entry["report"], "study": study, "split": split}
        if patient and patient(entry):
            report["group"] = patient(entry)
        yield report


def _problem(text: str, answer: str, image: str) -> tuple[str, bool]:
    """Why a row cannot be used, and whether only doubt speaks against it."""
    match = _ANSWER.match(answer)
    if not match:
        return NEITHER, False
    if not image:
        return NO_IMAGE, False
    if _HOLDS_ANSWER.search(text):
        return ANSWERED, False
    if match[2]:
        return NOT_AN_ANSWER, True
    # "0 cm?", ", diaphragms) abnormal?" and ")" are what is left of lists that were cut in the wrong place.
    return ("", False) if text[:1].isalpha() else (FRAGMENT, bool(text))


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


def samples(
    files: list[Path], split: str, images, options: Options, drops: Drops | None = None
) -> Iterator[Sample]:
    """The samples of one split, streamed; rows left out are told to `drops`.

    images  what a reader knows of its dataset's images: `source`, `restricted`, and of the name that a
            question gives `group(name)` (patient or study), `published(name)` (a split or None), `there(name)`
            (on the disk, unopened) and `load(name, row, drops)` (a Loaded; None, told to `drops`, where
            unusable). A UserError of theirs is the reason of a drop

    Raises UserError at once if no image of any question is there and images are required.
    """
    check_known("split", split, SPLITS)
    names = [question.image for question in _all_questions(files) if question.image]
    distinct = list(dict.fromkeys(names))
    if options.require_images and not any(_quietly(images.there, name) for name in distinct):
        raise UserError(
            f"None of the {len(distinct):,} images that {file_names(files)} asks "
            f"about is there, for instance {names[0] if names else 'none'}. Name their folder with images "
            "(--images), or take the questions without them with require_images=false (--without-images)."
        )
    split_of = _splitter(names, images, options)

    def samples_of_image(questions: list[Question], drops: Drops) -> list[Sample]:
        made, loaded = [], None
        for question in questions:
            # The path of a restricted image names a patient, and a card is read by others.
            name = "" if images.restricted else question.image
            reason = _unusable(question, images, options, split_of(question.image))
            if reason:
                drops.add(question.id, reason, name)
                continue
            # Decoding proves that it is whole, once for all of them.
            if not loaded and images.there(question.image):
                loaded = images.load(question.image, question.id, drops)
            elif not loaded:
                loaded = drops.add(question.id, ABSENT, name) if options.require_images else ((), {})
            if loaded is not None:
                made.append(_sample(question, split, images, options, loaded))
        return made

    # A row without a split is told in every pass, and counted once.
    chosen = filter(lambda question: split_of(question.image) in (split, None), _all_questions(files))
    # The questions about one image follow each other.
    by_image = itertools.groupby(chosen, key=lambda question: question.image)
    made = parallel_map(samples_of_image, (list(questions) for _, questions in by_image), drops or Drops())
    return itertools.chain.from_iterable(made)


def rows_of(what: str, open_copy: Callable) -> Callable:
    """The `rows` of a reader whose `source` holds `what`.

    open_copy(folder, splits)  the `images` of `samples`
    """

    def rows(
        source, split: str, *, drops: Drops | None = None, questions: str | list | None = None,
        images: str | None = None, splits: str = "seeded", split_seed: int = 0, require_images: bool = True,
        doubtful: str = "drop", concepts: str = "lexicon",
    ) -> Iterator[Sample]:  # fmt: skip
        """The samples of one split, kind "yes_no", restricted.

        questions  the question files, where not every .jsonl file of the source is meant
        images     the folder of the images, where it is not the source
        the rest   see `Options`
        """
        options = Options(splits, split_seed, require_images, doubtful, concepts)
        files = question_files(source_folder(source, what), questions)
        copy = open_copy(source_folder(images or source, what), splits)
        return samples(files, split, copy, options, drops)

    return rows


def splits_of(*, splits: str = "seeded", **_) -> tuple[str, ...]:
    """The splits that there are with these parameters of a reader."""
    return ("test",) if splits == "test" else SPLITS


def content_paths(source, *, images: str | None = None, **_) -> list:
    """The folders whose content decides the rows; `describe` tells that of question files."""
    return [source, images] if images else [source]


def content_hashes(files: list[Path]) -> dict[str, str | None]:
    """{name: SHA-256} of the question files, for the card."""
    return {path.name: readers.content_hash(path) for path in files}


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


def _all_questions(files: list[Path]) -> Iterator[Question]:
    return itertools.chain.from_iterable(map(questions, files))


def _quietly(ask: Callable, name: str):
    """What `ask` says of an image; None where it refuses the name, since that is told when its row comes."""
    try:
        return None if leaves_folder(name) else ask(name)
    except UserError:
        return None


def _splitter(names: list[str], images, options: Options) -> Callable[[str], str | None]:
    """The function from an image's name to its split, None where it has none."""
    if options.splits == "test":
        return lambda name: "test"
    if options.splits == "published":
        return lambda name: _quietly(images.published, name)
    groups = {name: _quietly(images.group, name) for name in names}
    pairs = [(groups[name], "") for name in names if groups[name]]
    splits = split_by_group(pairs, SHARES, options.split_seed)
    return lambda name: splits.get(groups.get(name))


def _unusable(question: Question, images, options: Options, split: str | None) -> str:
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


def _sample(question: Question, split: str, images, options: Options, loaded: Loaded) -> Sample:
    pictures, image_facts = loaded
    meta = {"image": question.image, **image_facts}
    if question.report:
        meta["report"] = question.report
    return Sample(
        id=f"{images.source}/{question.id}", source=images.source, question=question.text, kind="yes_no",
        answer=question.answer, choices=("yes", "no"), images=pictures, group=images.group(question.image),
        split=split, restricted=images.restricted, meta=meta,
        concepts=concepts.concepts_of(question.text, options.concepts),
        size=image_size(pictures[0]) if pictures else None,
    )  # fmt: skip
