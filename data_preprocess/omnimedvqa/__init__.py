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

Med-R1's split files (`med_r1`) can be read instead. They repeat images between train and test; such training
rows are left out unless `overlap=keep`, and the card tells how many there are. Their val is drawn from train
by image.
"""

import functools
from collections.abc import Iterator
from pathlib import Path

from medical_rl.data.drops import Drops
from medical_rl.data.prepare import command, parallel
from medical_rl.data.sources.files import read_image
from medical_rl.data_preprocess.omnimedvqa import splits
from medical_rl.data_preprocess.omnimedvqa.files import Question
from medical_rl.errors import UserError, check_known
from medical_rl.images import image_size
from medical_rl.sample import Sample

SPLITS = ("train", "val", "test")
ACCESS = {"open": ("open",), "restricted": ("restricted",), "all": ("open", "restricted")}
OVERLAPS = ("drop", "keep")
NOTES = (
    "OmniMedVQA publishes no train and test split and names no patients: that no patient is in two splits "
    "cannot be checked.",
    "Questions repeat, and some can be answered from their text alone: read every accuracy beside that of "
    "a model that sees no image.",
)


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
        questions = splits.drawn_split(root, ACCESS[access], keep, split, shares, split_seed, drops)
        return _samples(root, questions, split, drops)
    folder = _folder(med_r1, "Med-R1's split files")
    if any(keep.values()):
        raise UserError(
            "datasets, modalities and question_types choose among QA_information; Med-R1's files do not "
            "name them. Choose with tasks, or leave med_r1 out."
        )
    questions = splits.med_r1_split(root, folder, split, tasks, overlap, val_share, split_seed, drops)
    return _samples(root, questions, split, drops)


def describe(source, *, med_r1=None, tasks=None, overlap: str = "drop", **_) -> dict:
    """The facts for the data card; with Med-R1's files also how many images their train and test share."""
    root, notes = _root(source), list(NOTES)
    if med_r1 is not None:
        notes.append(splits.overlap_note(root, _folder(med_r1, "Med-R1's split files"), tasks, overlap))
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


def _samples(root: Path, questions: splits.GroupedQuestions, split: str, drops: Drops) -> Iterator[Sample]:
    def sample(grouped: tuple[Question, str], drops: Drops) -> Sample | None:
        question, group = grouped
        image = read_image(root / "Images", question.image.removeprefix("Images/"), question.id, drops)
        if image is None:
            return None
        meta = {
            "dataset": question.dataset,
            "modality": question.modality,
            "question_type": question.question_type,
        }
        return Sample(
            id=question.id,
            source="omnimedvqa",
            question=question.question,
            kind="choice",
            answer=question.answer,
            choices=question.options,
            images=(image,),
            group=group,
            split=split,
            restricted=question.restricted,
            size=image_size(image),
            meta=meta,
        )

    return parallel.parallel_map(sample, questions, drops)


def _root(source) -> Path:
    root = _folder(
        source, "OmniMedVQA (https://huggingface.co/datasets/foreverbeliever/OmniMedVQA, unpacked)"
    )
    if not (root / "Images").is_dir():
        raise UserError(f"{root.absolute()} holds no folder Images. Give the folder that holds Images/.")
    return root


def _folder(path, what: str) -> Path:
    folder = Path(path or "").expanduser()
    if not path or not folder.is_dir():
        raise UserError(f"There is no folder {folder.absolute()} of {what}.")
    return folder
