"""Harvard-FairVLMed: SLO fundus images with clinical notes, asked about with yes or no.

Source: Luo et al., FairCLIP, CVPR 2024; access by request from the Harvard Ophthalmology AI Lab. Questions: RULE (Xia et
al., EMNLP 2024), 4,285 of them on 711 images.
Licence: CC BY-NC-ND 4.0, with an agreement of the person who asked for access: every row is `restricted`, and no remote
judge or generator is sent one.
One row, in its form only, for the data may not be shown: question "Does the patient show signs of glaucoma?", gold "yes",
image slo_fundus_00000.jpg, which is the array slo_fundus of data_00000.npz; age 62, gender 0, md -3.1.
What the splits do not prove: RULE's questions are a test file; `splits=seeded` divides them 80/10/10 by patient, so its
scores do not compare with papers that test on all (`splits=test`). 86 % of the answers are yes: always yes has accuracy
0.86 and F1 0.92, so read accuracy beside the majority rate and balanced accuracy. A language model wrote the questions
from the notes.

Harvard-FairVLMed's `data_XXXXX.npz`: the fundus image as PNG, the patient's fields as plain values.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from medical_rl.data.drops import Drops
from medical_rl.data.prepare import command, fingerprint
from medical_rl.data.sources import files, npz
from medical_rl.data_preprocess import question_rows, rule_questions
from medical_rl.data_preprocess import question_rows as question_options
from medical_rl.errors import UserError
from medical_rl.images import MAX_PIXELS, encode_png
from medical_rl.sample import Sample

SPLITS, splits_of, reads = question_options.SPLITS, question_options.splits_of, question_options.reads
WHAT = (
    "It should hold the folders Training, Validation and Test with data_XXXXX.npz, and RULE's question file (*.jsonl); "
    "access to the images is by request: https://ophai.hms.harvard.edu/datasets/harvard-fairvlmed10k."
)
NOTES = (
    "Restricted: access is by request, and no row may be sent to a service that the agreement does not cover.",
    "86 % of RULE's answers are yes: always yes has accuracy 0.86 and F1 0.92. Read the majority rate beside every score.",
    "Questions and answers were written by a language model from the notes, not from the images.",
)


def rows(
    source, split: str, *, drops: Drops | None = None, questions: str | list | None = None, images: str | None = None,
    splits: str = "seeded", split_seed: int = 0, require_images: bool = True, doubtful: str = "drop",
    concepts: str = "lexicon",
) -> Iterator[Sample]:  # fmt: skip
    """The samples of one split, kind "yes_no", restricted; the group is the patient (five digits).

    questions  the question files, where not every .jsonl file of the source is meant
    images     the folder of the npz files, where it is not the source
    splits     seeded, or published: the folder (Training, Validation, Test) of the image's npz file; or test: all
    the rest   see `data_preprocess.question_rows.Options`
    """
    options = question_options.Options(splits, split_seed, require_images, doubtful, concepts)
    folder = files.source_folder(source, WHAT)
    where = FundusFiles(files.source_folder(images or source, WHAT))
    return question_rows.samples(
        rule_questions.question_files(folder, questions), split, where, options, drops
    )


def describe(
    source, *, questions: str | list | None = None, images: str | None = None, splits: str = "seeded",
    split_seed: int = 0, require_images: bool = True, doubtful: str = "drop", concepts: str = "lexicon",
) -> dict:  # fmt: skip
    """The facts for the data card: licence, the question files and what the splits are."""
    asked = rule_questions.question_files(files.source_folder(source, WHAT), questions)
    return {
        "source": "Harvard-FairVLMed",
        "file": ", ".join(path.name for path in asked),
        "licence": "CC BY-NC-ND 4.0; access by request",
        "url": "https://ophai.hms.harvard.edu/datasets/harvard-fairvlmed10k",
        "restricted": True,
        "questions": {path.name: fingerprint.content(path) for path in asked},
        "notes": [
            *NOTES,
            question_options.split_note(splits, split_seed, "patient", "the dataset's folders"),
        ],
    }


def reports(source, *, drops: Drops | None = None, images: str | None = None, **_) -> Iterator[dict]:
    """The notes as a retrieval corpus: id, text, study (five digits), split; restricted like the images.

    `source` is RULE's retriever file (JSON), a folder with such files (*retriever*.json), or that of the npz files (or
    `images` is), of which those that cannot be used go to `drops`. The last hold the notes of patients tested on, too.
    """
    path = Path(source).expanduser()
    for file in [path] if path.is_file() else (found := rule_questions.retriever_files(path)):
        yield from rule_questions.corpus(file, _patient)
    if path.is_dir() and not found:
        for digits, split, note in FundusFiles(Path(images or path).expanduser()).notes(
            Drops() if drops is None else drops
        ):
            yield {"id": digits, "text": note, "study": digits, "split": split}


def preferences(source) -> Iterator[dict]:
    """The preference pairs of RULE's alignment file; see `data_preprocess.rule_questions.preferences`."""
    return rule_questions.preferences(Path(source).expanduser(), _patient)


def main(argv=None) -> int:
    """The exit code of preparing the set by hand; see `medical_rl.data.prepare.command`."""
    return command.run("fairvlmed", argv, question_options.add)


def _patient(name: str) -> str:
    """The last five digits of an image's or a report's name, the name itself without any."""
    digits = "".join(mark if mark.isdigit() else " " for mark in name).split()
    return digits[-1] if digits else name


# The published folders' names, and the splits they are.
FOLDERS = {"training": "train", "validation": "val", "test": "test"}

T = TypeVar("T")
IMAGE = "slo_fundus"
# What subgroup metrics ask for; the note itself stays in its file.
FIELDS = ("age", "gender", "race", "ethnicity", "language", "maritalstatus", "glaucoma", "md")


class FundusFiles:
    """The npz files of one copy of the dataset, as `data_preprocess.question_rows` asks for them."""

    source, restricted = "fairvlmed", True

    def __init__(self, folder: Path) -> None:
        self.paths: dict[str, list[Path]] = {}
        for path in files.below(folder, (".npz",)):
            if match := re.fullmatch(r"data_(\d{5})", path.stem):
                self.paths.setdefault(match[1], []).append(path)

    def group(self, name: str) -> str:
        """The patient's five digits, from RULE's slo_fundus_XXXXX.jpg."""
        if match := re.search(r"slo_fundus_(\d{5})\.(?:jpg|jpeg|png)$", name):
            return match[1]
        raise UserError("the name of its image is not slo_fundus_<five digits>.jpg")

    def published(self, name: str) -> str | None:
        """The split of the folder that the file lies in; None where that is not one of the published folders."""
        paths = self.paths.get(self.group(name), [])
        return FOLDERS.get(paths[0].parent.name.lower()) if len(paths) == 1 else None

    def there(self, name: str) -> bool:
        """Whether a file has those digits."""
        return self.group(name) in self.paths

    def load(self, name: str, row: str, drops: Drops) -> tuple[tuple[bytes, ...], dict] | None:
        """The image as PNG and the patient's fields; None, told to `drops`, for a file that cannot be used."""

        def use(arrays: dict) -> tuple[tuple[bytes, ...], dict]:
            unread = {"unread": arrays["unread"]} if "unread" in arrays else {}
            return (encode_png(picture(arrays)),), {**fields(arrays), **unread}

        return self._used(self.group(name), row, drops, (IMAGE, *FIELDS), use)

    def notes(self, drops: Drops) -> Iterator[tuple[str, str, str]]:
        """(digits, split, note) of every file that holds a note; a file that cannot be used is told to `drops`."""
        for digits, paths in sorted(self.paths.items()):
            if text := self._used(digits, f"note {digits}", drops, ("note",), note):
                yield digits, FOLDERS.get(paths[0].parent.name.lower(), ""), text

    def _used(
        self, digits: str, row: str, drops: Drops, names: tuple[str, ...], use: Callable[[dict], T]
    ) -> T | None:
        paths = self.paths[digits]
        if len(paths) > 1:
            where = ", ".join(path.parent.name for path in paths)
            return drops.add(row, "its npz file is there more than once", f"{paths[0].name} in {where}")
        try:
            # A field of Python objects costs that field and not the picture.
            arrays = npz.read(paths[0], 8 * MAX_PIXELS, only=names, objects=(unread := []))
            if IMAGE in unread:
                raise UserError(f"it holds Python objects in {IMAGE}, which are never read")
            return use({**arrays, "unread": unread} if unread else arrays)
        except UserError as error:
            # The path of a person's file is not for a card; its name is.
            told = str(error).replace(str(paths[0].absolute()), paths[0].name)
            return drops.add(row, "its npz file cannot be used", told)


def note(arrays: dict[str, np.ndarray]) -> str:
    """The patient's note, "" where there is none."""
    found = arrays.get("note")
    if found is None or found.dtype.kind != "U" or not found.size:
        return ""
    return str(found.reshape(-1)[0]).strip()


def picture(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The fundus image as uint8, `H x W` or `H x W x 3`; UserError if it is none or would lose anything as uint8."""
    image = arrays.get(IMAGE)
    if image is None:
        raise UserError(f"it holds no {IMAGE}, only {', '.join(arrays) or 'nothing'}")
    if image.dtype.kind not in "uif" or 0 in image.shape or not (image.ndim == 2 or image.shape[2:] == (3,)):
        raise UserError(f"{IMAGE} is {image.dtype} {image.shape}, not an image")
    if math.prod(image.shape[:2]) > MAX_PIXELS:
        raise UserError(
            f"{IMAGE} has {math.prod(image.shape[:2]):,} pixels; more than {MAX_PIXELS:,} are not read"
        )
    if image.dtype == np.uint8:
        return image
    # Some tools store grey levels as float: kept where every one is a whole number from 0 to 255, never scaled.
    if not (
        np.isfinite(image).all()
        and (image == np.round(image)).all()
        and image.min() >= 0
        and image.max() <= 255
    ):
        raise UserError(f"{IMAGE} is {image.dtype} with values that are not whole numbers from 0 to 255")
    return image.astype(np.uint8)


def fields(arrays: dict[str, np.ndarray]) -> dict:
    """The patient's fields as numbers and texts; NaN, blank and absent ones are None."""
    return {name: _plain(arrays[name]) if name in arrays else None for name in FIELDS}


def _plain(array: np.ndarray):
    """The single value of an array, None where it is NaN, blank or not single.

    >>> _plain(np.array([62.0])), _plain(np.array(float("nan"))), _plain(np.array(" "))
    (62.0, None, None)
    """
    if array.size != 1:
        return None
    value = array.reshape(-1)[0].item()
    if isinstance(value, str):
        return value.strip() or None
    return None if not isinstance(value, int | float) or not math.isfinite(value) else value


if __name__ == "__main__":
    sys.exit(main())
