"""OmniMedVQA: multiple-choice questions about images of 73 medical datasets, eight modalities in its open part.

Source: OmniMedVQA (Hu et al., CVPR 2024, arXiv 2402.09181), folder `OmniMedVQA/{Images,QA_information}`.
Licence: CC BY 4.0 for the questions; the images keep the licences of the datasets they come from.
One row, dataset CRC100k: image "Images/CRC100k/MUS/MUS-ETSCSVIY.tif", question "Which type of tissue is shown in the
image?", options "Nervous tissue", "Smooth muscle", "Cardiac muscle", "Glandular tissue", answer "Smooth muscle".
What the splits do not prove: no official split is published, so ours is drawn by image (files with equal bytes are one
image), seeded; patients are not named, so one may be in two splits. Questions were written by a language model from class
names and repeat; many ask only for the modality, and a model that never looks at the image gets part of them right.

Med-R1's split files (`med_r1`) can be read instead. They repeat images between train and test; such training rows are
left out unless `overlap=keep`, and the card tells how many there are. Their val is drawn from train by image.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medical_rl.data.drops import Drops
from medical_rl.data.prepare import ahead, command
from medical_rl.data.sources.image_files import read_image
from medical_rl.data_preprocess.omnimedvqa import splits
from medical_rl.data_preprocess.omnimedvqa.files import Question
from medical_rl.errors import UserError, unknown
from medical_rl.images import image_size
from medical_rl.sample import Sample

SPLITS = ("train", "val", "test")
ACCESS = {"open": ("open",), "restricted": ("restricted",), "all": ("open", "restricted")}
NOTES = (
    "OmniMedVQA publishes no train and test split and names no patients: that no patient is in two splits cannot be checked.",
    "Questions repeat, and some can be answered from their text alone: read every accuracy beside that of a model that sees no image.",
)


def rows(
    source,
    split: str,
    *,
    access: str = "open",
    datasets=None,
    modalities=None,
    question_types=None,
    med_r1=None,
    tasks=None,
    overlap: str = "drop",
    val_share: float = 0.1,
    test_share: float = 0.1,
    split_seed: int = 0,
    drops: Drops | None = None,
) -> Iterator[Sample]:
    """The samples of one split, kind "choice", streamed; what cannot be used goes to `drops` with its reason.

    access          open, restricted or all: which of the two folders of QA_information
    datasets, modalities, question_types  lists of names to keep (default: all); not with med_r1
    med_r1          folder of Med-R1's `<task>_train.json` and `<task>_test.json`, read in place of QA_information
    tasks           the Med-R1 tasks to read, as the files are named ("Fundus"; default: all in the folder)
    overlap         Med-R1: "drop" leaves out training rows whose image (its bytes) is also in test, "keep" keeps them
    val_share, test_share, split_seed  the division by image (Med-R1: val only)
    """
    if split not in SPLITS:
        raise unknown("split of OmniMedVQA", split, SPLITS)
    if access not in ACCESS:
        raise unknown("part of OmniMedVQA", access, ACCESS)
    if overlap not in ("drop", "keep"):
        raise unknown("way to treat the overlap of Med-R1's files", overlap, ("drop", "keep"))
    root, drops = _root(source), Drops() if drops is None else drops
    keep = {"dataset": datasets, "modality": modalities, "question_type": question_types}
    if med_r1 is not None:
        folder = _folder(med_r1, "Med-R1's split files")
        if any(keep.values()):
            raise UserError(
                "datasets, modalities and question_types choose among QA_information; Med-R1's files do not name them. "
                "Choose with tasks, or leave med_r1 out."
            )
        asked = splits.of_med_r1(root, folder, split, tasks, overlap, val_share, split_seed, drops)
    else:
        asked = splits.drawn(root, ACCESS[access], keep, split, (val_share, test_share), split_seed, drops)
    return _samples(root, asked, split, drops)


def describe(source, *, access: str = "open", med_r1=None, tasks=None, overlap: str = "drop", **_) -> dict:
    """The facts for the data card; with Med-R1's files also how many images their train and test share."""
    about = {
        "source": "OmniMedVQA",
        "file": _root(source).name,
        "licence": "CC BY 4.0 (questions); each image has the licence of its own dataset",
        "url": "https://huggingface.co/datasets/foreverbeliever/OmniMedVQA",
        "doi": "10.1109/CVPR52733.2024.02093",
        "notes": list(NOTES),
    }
    if med_r1 is not None:
        about["notes"].append(
            splits.overlap_told(_root(source), _folder(med_r1, "Med-R1's split files"), tasks, overlap)
        )
    return about


def reads(source, *, med_r1=None, **_) -> list:
    """The folders whose content decides the rows."""
    return [source, med_r1] if med_r1 else [source]


def main(argv=None) -> int:
    """The exit code of preparing the folder by hand; see `medical_rl.data.prepare.command`."""

    def add_options(parser):
        parser.add_argument("--access", choices=ACCESS, help="which part of QA_information (default: open)")
        for name in ("datasets", "modalities", "question-types", "tasks"):
            parser.add_argument(f"--{name}", nargs="+", metavar="NAME", help="keep these only (default: all)")
        parser.add_argument(
            "--med-r1", metavar="DIR", help="Med-R1's split files, read in place of QA_information"
        )
        parser.add_argument(
            "--overlap", choices=("drop", "keep"), help="Med-R1: training rows whose image is in test"
        )
        parser.add_argument("--val-share", type=float, help="share of images for val (default: 0.1)")
        parser.add_argument("--test-share", type=float, help="share of images for test (default: 0.1)")
        parser.add_argument("--split-seed", type=int, help="which images are in which split (default: 0)")

    return command.run("omnimedvqa", argv, add_options)


def _samples(root: Path, asked: splits.Asked, split: str, drops: Drops) -> Iterator[Sample]:
    def sample(one: tuple[Question, str], drops: Drops) -> Sample | None:
        question, group = one
        image = read_image(root / "Images", question.image.removeprefix("Images/"), question.id, drops)
        if image is None:
            return None
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
            meta={name: getattr(question, name) for name in ("dataset", "modality", "question_type")},
        )

    return ahead.rows(sample, asked, drops)


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
