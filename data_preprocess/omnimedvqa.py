"""OmniMedVQA: questions with options on images of 73 datasets, eight modalities in its open part.

Source: OmniMedVQA (Hu et al., CVPR 2024, arXiv 2402.09181), folder `OmniMedVQA/{Images,QA_information}`.
Licence: CC BY 4.0 for the questions; the images keep the licences of the datasets they come from.
One row, dataset CRC100k: image "Images/CRC100k/MUS/MUS-ETSCSVIY.tif", question "Which type of tissue is shown
in the image?", options "Nervous tissue", "Smooth muscle", "Cardiac muscle", "Glandular tissue", answer
"Smooth muscle".
What the splits do not prove: no official split is published, so ours is drawn by image (files with equal
bytes are one image), seeded; patients are not named, so one may be in two splits. Questions were written by a
language model from class names and repeat; many ask only for the modality, and a model that never looks at
the image gets part of them right.

QA_information is one JSON list a dataset: the options are the keys option_A to option_D, the answer a text.
Med-R1's split files (`med_r1`) can be read instead, rows `{image, problem, solution}`: options and question
are one text, and the answer is a letter. They repeat images between train and test; such training rows are
left out unless `overlap=keep`, and the card tells how many there are. Their val is drawn from train by image.
"""

import functools
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from medical_rl.data.options import BadOptions, clean_options, matching_option, option_at_letter, text_of
from medical_rl.data.prepare import command
from medical_rl.data.prepare.sampling import first_with_same_content, modality_key, split_by_group
from medical_rl.data.rows import Drops, parallel_map
from medical_rl.data.sources import tables
from medical_rl.data.sources.files import ImageFolder, path_inside, source_folder
from medical_rl.errors import UserError, check_known, unknown
from medical_rl.images import image_size
from medical_rl.sample import Sample

SPLITS = ("train", "val", "test")
FOLDERS = {"open": "Open-access", "restricted": "Restricted-access"}
ACCESS = {"open": ("open",), "restricted": ("restricted",), "all": ("open", "restricted")}
OVERLAPS = ("drop", "keep")
WHAT = "It should be OmniMedVQA (https://huggingface.co/datasets/foreverbeliever/OmniMedVQA, unpacked)."
MED_R1 = "It should hold Med-R1's split files."
NOTES = (
    "OmniMedVQA publishes no train and test split and names no patients: that no patient is in two splits "
    "cannot be checked.",
    "Questions repeat, and some can be answered from their text alone: read every accuracy beside that of "
    "a model that sees no image.",
)
QA_KEYS, MED_R1_KEYS = (
    ("question_id", "question", "gt_answer", "image_path"),
    ("image", "problem", "solution"),
)
_MODALITIES = {"MR (Mag-netic Resonance Imaging)": "MR (Magnetic Resonance Imaging)"}
_SOLUTION = re.compile(r"<answer>\s*([A-Z])\s*</answer>")


def rows(
    source, split: str, *, access: str = "open", datasets=None, modalities=None, question_types=None,
    med_r1=None, tasks=None, overlap: str = "drop", val_share: float = 0.1, test_share: float = 0.1,
    split_seed: int = 0, drops: Drops | None = None,
) -> Iterator[Sample]:  # fmt: skip
    """The samples of one split, kind "choice", streamed; the unusable go to `drops` with their reason.

    access          open, restricted or all: which of the two folders of QA_information
    datasets, modalities, question_types  lists of names to keep (default: all); not with med_r1
    med_r1          folder of Med-R1's `<task>_train.json` and `<task>_test.json`, read in place of
                    QA_information
    tasks           the Med-R1 tasks to read, as the files are named ("Fundus"; default: all in the folder)
    overlap         Med-R1: "drop" leaves out training rows whose image (its bytes) is also in test, "keep"
                    keeps them
    val_share, test_share, split_seed  the division by image (Med-R1: val only)
    """
    check_known("split of OmniMedVQA", split, SPLITS)
    check_known("part of OmniMedVQA", access, ACCESS)
    check_known("way to treat the overlap of Med-R1's files", overlap, OVERLAPS)
    root, drops = _root(source), drops or Drops()
    keep = {"dataset": datasets, "modality": modalities, "question_type": question_types}
    if med_r1 is None:
        shares = {"test": test_share, "val": val_share}
        questions = drawn_split(root, ACCESS[access], keep, split, shares, split_seed, drops)
        return parallel_map(functools.partial(_sample, ImageFolder(root / "Images"), split), questions, drops)
    folder = source_folder(med_r1, MED_R1)
    if any(keep.values()):
        raise UserError(
            "datasets, modalities and question_types choose among QA_information; Med-R1's files do not "
            "name them. Choose with tasks, or leave med_r1 out."
        )
    questions = med_r1_split(root, folder, split, tasks, overlap, val_share, split_seed, drops)
    return parallel_map(functools.partial(_sample, ImageFolder(root / "Images"), split), questions, drops)


def describe(source, *, med_r1=None, tasks=None, overlap: str = "drop", **_) -> dict:
    """The facts for the data card; with Med-R1's files also how many images their train and test share."""
    root, notes = _root(source), list(NOTES)
    if med_r1 is not None:
        notes.append(overlap_note(root, source_folder(med_r1, MED_R1), tasks, overlap))
    return {
        "source": "OmniMedVQA",
        "file": root.name,
        "licence": "CC BY 4.0 (questions); each image has the licence of its own dataset",
        "url": "https://huggingface.co/datasets/foreverbeliever/OmniMedVQA",
        "doi": "10.1109/CVPR52733.2024.02093",
        "notes": notes,
    }


def content_paths(source, *, med_r1=None, **_) -> list:
    """The folders whose content decides the rows."""
    return [source, med_r1] if med_r1 else [source]


def add_options(parser) -> None:
    """Add the options of `rows` to a command line."""
    parser.add_argument("--access", choices=ACCESS, help="which part of QA_information (default: open)")
    for name in ("datasets", "modalities", "question-types", "tasks"):
        parser.add_argument(f"--{name}", nargs="+", metavar="NAME", help="keep these only (default: all)")
    told = "Med-R1's split files, read in place of QA_information"
    parser.add_argument("--med-r1", metavar="DIR", help=told)
    parser.add_argument("--overlap", choices=OVERLAPS, help="Med-R1: training rows whose image is in test")
    command.add_split_options(parser, val=0.1, test=0.1)


main = functools.partial(command.run, "omnimedvqa", add_options=add_options)


def _sample(folder: ImageFolder, split: str, grouped: "tuple[Question, str]", drops: Drops) -> Sample | None:
    question, group = grouped
    image = folder.read(question.image.removeprefix("Images/"), question.id, drops)
    if image is None:
        return None
    meta = {name: getattr(question, name) for name in ("dataset", "modality", "question_type")}
    return Sample(
        id=question.id, source="omnimedvqa", question=question.question, kind="choice",
        answer=question.answer, choices=question.options, images=(image,), group=group, split=split,
        restricted=question.restricted, size=image_size(image), meta=meta,
    )  # fmt: skip


def _root(source) -> Path:
    root = source_folder(source, WHAT)
    if not (root / "Images").is_dir():
        raise UserError(f"{root.absolute()} holds no folder Images. Give the folder that holds Images/.")
    return root


@dataclass(frozen=True)
class Question:
    """One question; `image` is relative to the folder that holds Images/."""

    id: str
    image: str
    question: str
    options: tuple[str, ...]
    answer: str
    dataset: str
    modality: str = ""
    question_type: str = ""
    restricted: bool = False


def from_qa(row: Mapping, path: Path, index: int) -> Question:
    """The question of a QA_information row; BadOptions if unusable."""
    modality = text_of(row.get("modality_type") or row.get("modality"), "its modality")
    options = clean_options(map(row.get, ("option_A", "option_B", "option_C", "option_D")))
    return Question(
        id=text_of(row["question_id"], "its id"),
        image=text_of(row["image_path"], "its image"),
        question=text_of(row["question"], "its question"),
        options=options,
        answer=matching_option(row["gt_answer"], options),
        dataset=text_of(row.get("dataset"), "its dataset") or path.stem,
        # One row of `Chest CT Scan.json` says `modality`, and the files misspell one.
        modality=_MODALITIES.get(modality, modality),
        question_type=text_of(row.get("question_type"), "its type"),
        restricted=path.parent.name == FOLDERS["restricted"],
    )


def from_med_r1(row: Mapping, path: Path, index: int) -> Question:
    """The question of a Med-R1 row; BadOptions if unusable."""
    question, listed = split_problem(text_of(row["problem"], "its problem"))
    solution = _SOLUTION.fullmatch(text_of(row["solution"], "its solution"))
    if not solution:
        raise BadOptions("its answer is the letter of no option")
    options = clean_options(listed)
    image = text_of(row["image"], "its image")
    return Question(
        id=f"{path.stem}/{index}",
        image=image,
        question=question,
        options=options,
        answer=matching_option(option_at_letter(solution[1], listed), options),
        dataset=image.split("/")[1] if image.count("/") > 1 else "",
    )


def split_problem(problem: str) -> tuple[str, list[str]]:
    """(question, options) of "... A)x, B)y"; options hold commas and brackets, so only the next letter in
    turn ends one.
    """
    start = re.search(r"(?:^|\s)A\)(?=.*, B\))", problem, re.DOTALL)
    if not start:
        raise BadOptions("its options cannot be told apart")
    rest, options = problem[start.end() :], []
    for letter in "BCDEFGHIJ":
        option, mark, after = rest.partition(f", {letter})")
        if not mark:
            break
        options.append(option.strip())
        rest = after
    options.append(rest.strip())
    return problem[: start.start()].strip(), options


def qa_files(root: Path, access: tuple[str, ...]) -> list[Path]:
    """The question files below QA_information, in order of name; UserError if there are none."""
    folders, paths = [FOLDERS[name] for name in access], []
    for folder in folders:
        paths += sorted((root / "QA_information" / folder).glob("*.json"))
    if not paths:
        raise UserError(
            f"There are no question files in {root.absolute()}/QA_information/{{{','.join(folders)}}}. The "
            "source is the folder OmniMedVQA that holds Images/ and QA_information/; for Med-R1's split "
            "files, give their folder as med_r1."
        )
    return paths


def med_r1_files(folder: Path, split: str, tasks) -> list[Path]:
    """Med-R1's `<task>_<split>.json` of the tasks (None: all), in order; UserError if one is missing."""
    ending = f"_{split}.json"
    paths = {path.name.removesuffix(ending): path for path in sorted(folder.rglob(f"*{ending}"))}
    for task in tasks or ():
        if task not in paths:
            raise UserError(
                f"{folder.absolute()} has no file {task}{ending}. Tasks with a {split} file: "
                f"{', '.join(paths) or 'none'}."
            )
    return [path for task, path in paths.items() if not tasks or task in tasks]


GroupedQuestions = list[tuple[Question, str]]  # each with the group that no split may divide


def drawn_split(
    root: Path, access: tuple[str, ...], keep: Mapping, split: str, shares: Mapping, seed: int, drops: Drops
) -> GroupedQuestions:
    """The QA_information questions that the seed puts into `split`.

    keep  {field of Question: wanted names, None for all}
    """
    questions = _read(qa_files(root, access), from_qa, QA_KEYS, drops)
    read, filters = len(questions), []
    wanted_of = {field: _wanted_names(field, names, questions) for field, names in keep.items() if names}
    for field, wanted in wanted_of.items():
        filters.append(f"{field} {' or '.join(sorted(wanted))}")
        questions = [question for question in questions if getattr(question, field) in wanted]
    if read and not questions:
        told = "; ".join(filters)
        raise UserError(f"No question has all that is asked for: {told}. Leave one of these filters out.")
    questions = _distinct(questions, drops)
    return _in_split(questions, _image_groups(root, questions), split, shares, seed)


def med_r1_split(
    root: Path, folder: Path, split: str, tasks, overlap: str, val_share: float, seed: int, drops: Drops
) -> GroupedQuestions:
    """The questions of Med-R1's files; val is drawn from their train, and `overlap` is "drop" or "keep"."""
    told = {"test": Drops(), "train": Drops()}
    told["test" if split == "test" else "train"] = drops
    tested = _read(med_r1_files(folder, "test", tasks), from_med_r1, MED_R1_KEYS, told["test"])
    trained = _read(med_r1_files(folder, "train", tasks), from_med_r1, MED_R1_KEYS, told["train"])
    groups = _image_groups(root, [*trained, *tested])
    if split == "test":
        # Kept overlap is the user's wish: groups of their own keep `prepare` from refusing it as a leak.
        mark = "test:" if overlap == "keep" else ""
        return [(question, mark + groups[question.image]) for question in _distinct(tested, drops)]
    if overlap == "drop":
        test_groups, apart = {groups[question.image] for question in tested}, []
        for question in trained:
            if groups[question.image] in test_groups:
                drops.add(question.id, "its image is also in the test file")
            else:
                apart.append(question)
        trained = apart
    return _in_split(_distinct(trained, drops), groups, split, {"test": 0, "val": val_share}, seed)


def overlap_note(root: Path, folder: Path, tasks, overlap: str) -> str:
    """A sentence for the card: how many images Med-R1's train and test share, and their fate."""
    trained = _read(med_r1_files(folder, "train", tasks), from_med_r1, MED_R1_KEYS, Drops())
    tested = _read(med_r1_files(folder, "test", tasks), from_med_r1, MED_R1_KEYS, Drops())
    groups = _image_groups(root, [*trained, *tested])
    train_rows = Counter(groups[question.image] for question in trained)
    test_groups = {groups[question.image] for question in tested}
    shared = test_groups & train_rows.keys()
    rows = sum(map(train_rows.get, shared))
    what = "were left out of train" if overlap == "drop" else "were kept: test accuracy is too high"
    return (
        f"Med-R1's files: {len(shared):,} of {len(test_groups):,} test images are also in train; "
        f"the {rows:,} training rows about them {what}."
    )


def _wanted_names(field: str, names, questions: Iterable[Question]) -> set[str]:
    """The names to keep, spelt as ours; UserError for one that no question has."""
    there = {getattr(question, field) for question in questions}
    wanted = set()
    for name in sorted(map(str, [names] if isinstance(names, str) else names)):
        same = {name} & there
        if field == "modality":
            same = {each for each in there if modality_key(each) == modality_key(name)}
        if not same:
            raise unknown(f"{field.replace('_', ' ')} of OmniMedVQA", name, there)
        wanted |= same
    return wanted


def _read(paths: Iterable[Path], read_row, keys: Iterable[str], drops: Drops) -> list[Question]:
    """The questions of the files, `read_row(row, path, index)` of each row."""
    questions = []
    for path in paths:
        for index, row in enumerate(tables.read_objects(path, keys)):
            try:
                questions.append(read_row(row, path, index))
            except BadOptions as error:
                name = row.get("question_id")
                name = name if isinstance(name, str | int) and name else f"{path.stem}/{index}"
                drops.add(str(name), str(error))
    return questions


def _distinct(questions: Iterable[Question], drops: Drops) -> list[Question]:
    """The questions without those whose id, or whose image, words and answer, another has."""
    distinct, ids, contents = [], set(), set()
    for question in questions:
        content = (question.image, question.question, question.answer, frozenset(question.options))
        if question.id in ids:
            drops.add(question.id, "its id is taken by another row")
        elif content in contents:
            drops.add(question.id, "it repeats another row about the same image")
        else:
            distinct.append(question)
        ids.add(question.id)
        contents.add(content)
    return distinct


def _image_groups(root: Path, questions: Iterable[Question]) -> dict[str, str]:
    """{image: group}: files of equal bytes are one image, and one image is one group."""
    base = Path(os.path.abspath(root), "Images")
    names = {question.image for question in questions}
    paths = {name: path_inside(base, name.removeprefix("Images/")) for name in names}
    first = first_with_same_content(filter(None, paths.values()))
    return {image: str(first.get(path, image)).removeprefix(f"{base}/") for image, path in paths.items()}


def _in_split(questions, groups: Mapping[str, str], split: str, shares, seed: int) -> GroupedQuestions:
    """Those of `split`, with their groups."""
    grouped = [(question, groups[question.image]) for question in questions]
    split_of = split_by_group([(group, question.dataset) for question, group in grouped], shares, seed)
    return [(question, group) for question, group in grouped if split_of[group] == split]


if __name__ == "__main__":
    sys.exit(main())
