"""Harvard-FairVLMed: SLO fundus images with clinical notes, asked about with yes or no.

Source: Luo et al., FairCLIP, CVPR 2024; access by request from the Harvard Ophthalmology AI Lab. Questions:
RULE (Xia et al., EMNLP 2024), 4,285 of them on 711 images.
Licence: CC BY-NC-ND 4.0, with an agreement of the person who asked for access: every row is `restricted`, and
no remote judge or generator is sent one.
One row, in its form only, for the data may not be shown: question "Does the patient show signs of glaucoma?",
gold "yes", image slo_fundus_00000.jpg, which is the array slo_fundus of data_00000.npz; age 62, gender 0, md
-3.1.
What the splits do not prove: RULE's questions are a test file; `splits=seeded` divides them 80/10/10 by
patient, so its scores do not compare with papers that test on all (`splits=test`). 86 % of the answers are
yes: always yes has accuracy 0.86 and F1 0.92, so read accuracy beside the majority rate and balanced
accuracy. A language model wrote the questions from the notes.

Of a `data_XXXXX.npz` the fundus image becomes a PNG, and the patient's fields plain values.
"""

import functools
import math
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from medical_rl.data.prepare import command
from medical_rl.data.rows import Drops
from medical_rl.data.sources import files, npz
from medical_rl.data_preprocess import file_names, rule_questions
from medical_rl.errors import UserError
from medical_rl.images import MAX_PIXELS, encode_png

SPLITS, splits_of = rule_questions.SPLITS, rule_questions.splits_of
content_paths = rule_questions.content_paths
# The published folders' names, and the splits they are.
FOLDERS = {"training": "train", "validation": "val", "test": "test"}
IMAGE = "slo_fundus"
# What subgroup metrics ask for; the note itself stays in its file.
FIELDS = ("age", "gender", "race", "ethnicity", "language", "maritalstatus", "glaucoma", "md")
WHAT = (
    "It should hold the folders Training, Validation and Test with data_XXXXX.npz, and RULE's question "
    "file (*.jsonl); access to the images is by request: "
    "https://ophai.hms.harvard.edu/datasets/harvard-fairvlmed10k."
)
NOTES = (
    "Restricted: access is by request, and no row may be sent to a service that the agreement does not "
    "cover.",
    "86 % of RULE's answers are yes: always yes has accuracy 0.86 and F1 0.92. Read the majority rate "
    "beside every score.",
    "Questions and answers were written by a language model from the notes, not from the images.",
)


def describe(
    source, *, questions: str | list | None = None, splits: str = "seeded", split_seed: int = 0, **_
) -> dict:
    """The facts for the data card: licence, the question files and what the splits are."""
    question_files = rule_questions.question_files(files.source_folder(source, WHAT), questions)
    split_note = rule_questions.split_note(splits, split_seed, "patient", "the dataset's folders")
    return {
        "source": "Harvard-FairVLMed",
        "file": file_names(question_files),
        "licence": "CC BY-NC-ND 4.0; access by request",
        "url": "https://ophai.hms.harvard.edu/datasets/harvard-fairvlmed10k",
        "restricted": True,
        "questions": rule_questions.content_hashes(question_files),
        "notes": [*NOTES, split_note],
    }


def reports(source, *, drops: Drops | None = None, images: str | None = None, **_) -> Iterator[dict]:
    """The notes as a retrieval corpus: id, text, study (five digits), split; restricted like the images.

    `source` is RULE's retriever file (JSON), a folder with such files (*retriever*.json), or that of the npz
    files (or `images` is), of which those that cannot be used go to `drops`. The last hold the notes of
    patients tested on, too.
    """
    path = Path(source).expanduser()
    retriever_files = [path] if path.is_file() else rule_questions.retriever_files(path)
    for file in retriever_files:
        yield from rule_questions.corpus(file, _patient)
    if path.is_dir() and not retriever_files:
        yield from FundusFiles(Path(images or path).expanduser()).notes(drops or Drops())


class FundusFiles:
    """The npz files of one copy of the dataset, as `rule_questions.samples` asks for them."""

    source, restricted = "fairvlmed", True

    def __init__(self, folder: Path) -> None:
        self.paths: dict[str, list[Path]] = {}
        for path in files.below(folder, (".npz",)):
            match = re.fullmatch(r"data_(\d{5})", path.stem)
            if match:
                self.paths.setdefault(match[1], []).append(path)

    def group(self, name: str) -> str:
        """The patient's five digits, from RULE's slo_fundus_XXXXX.jpg."""
        match = re.search(r"slo_fundus_(\d{5})\.(?:jpg|jpeg|png)$", name)
        if not match:
            raise UserError("the name of its image is not slo_fundus_<five digits>.jpg")
        return match[1]

    def published(self, name: str) -> str | None:
        """The split of the file's folder; None where that is not one of the published folders."""
        paths = self.paths.get(self.group(name), [])
        return FOLDERS.get(paths[0].parent.name.lower()) if len(paths) == 1 else None

    def there(self, name: str) -> bool:
        """Whether a file has those digits."""
        return self.group(name) in self.paths

    def load(self, name: str, row: str, drops: Drops) -> tuple[tuple[bytes, ...], dict] | None:
        """The image as PNG and the patient's fields; None, told to `drops`, for an unusable file."""

        def picture_and_fields(arrays: dict) -> tuple[tuple[bytes, ...], dict]:
            meta = {field: _single_value(arrays.get(field, np.array(""))) for field in FIELDS}
            if "unread" in arrays:
                meta["unread"] = arrays["unread"]
            return (encode_png(picture(arrays)),), meta

        return self._read(self.group(name), row, drops, (IMAGE, *FIELDS), picture_and_fields)

    def notes(self, drops: Drops) -> Iterator[dict]:
        """The entry of every file that holds a note; an unusable one is told to `drops`."""
        for digits, paths in sorted(self.paths.items()):
            text = self._read(digits, f"note {digits}", drops, ("note",), _note)
            if text:
                split = FOLDERS.get(paths[0].parent.name.lower(), "")
                yield {"id": digits, "text": text, "study": digits, "split": split}

    def _read(
        self, digits: str, row: str, drops: Drops, names: tuple[str, ...], use: Callable[[dict], object]
    ):
        """What `use` makes of the arrays `names` of one file; None, told to `drops`, if unusable."""
        path, *copies = self.paths[digits]
        if copies:
            where = ", ".join(each.parent.name for each in (path, *copies))
            return drops.add(row, "its npz file is there more than once", f"{path.name} in {where}")
        unread: list[str] = []
        try:
            # A field of Python objects costs that field and not the picture.
            arrays = npz.read_arrays(path, 8 * MAX_PIXELS, only=names, objects=unread)
            if IMAGE in unread:
                raise UserError(f"it holds Python objects in {IMAGE}, which are never read")
            return use({**arrays, "unread": unread} if unread else arrays)
        except UserError as error:
            # The path of a person's file is not for a card; its name is.
            reason = str(error).replace(str(path.absolute()), path.name)
            return drops.add(row, "its npz file cannot be used", reason)


def picture(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The fundus image as uint8, `H x W` or `H x W x 3`; UserError if uint8 would lose anything."""
    image = arrays.get(IMAGE)
    if image is None:
        raise UserError(f"it holds no {IMAGE}, only {', '.join(arrays) or 'nothing'}")
    if image.dtype.kind not in "uif" or 0 in image.shape or not (image.ndim == 2 or image.shape[2:] == (3,)):
        raise UserError(f"{IMAGE} is {image.dtype} {image.shape}, not an image")
    pixels = math.prod(image.shape[:2])
    if pixels > MAX_PIXELS:
        raise UserError(f"{IMAGE} has {pixels:,} pixels; more than {MAX_PIXELS:,} are not read")
    if image.dtype == np.uint8:
        return image
    # Some tools store grey levels as float: kept where all are whole numbers from 0 to 255, never scaled.
    whole = np.isfinite(image).all() and (image == np.round(image)).all()
    if not (whole and image.min() >= 0 and image.max() <= 255):
        raise UserError(f"{IMAGE} is {image.dtype} with values that are not whole numbers from 0 to 255")
    return image.astype(np.uint8)


def _note(arrays: dict[str, np.ndarray]) -> str:
    array = arrays.get("note")
    is_text = array is not None and array.dtype.kind == "U" and array.size
    return str(array.reshape(-1)[0]).strip() if is_text else ""


def _patient(name: str) -> str:
    """The last five digits of an image's or a report's name, the name itself without any."""
    numbers = re.findall(r"\d+", name)
    return numbers[-1] if numbers else name


def _single_value(array: np.ndarray):
    """The single value of an array, None where it is NaN, blank or not single."""
    if array.size != 1:
        return None
    value = array.reshape(-1)[0].item()
    if isinstance(value, str):
        return value.strip() or None
    return value if isinstance(value, int | float) and math.isfinite(value) else None


# published: the folder (Training, Validation, Test) of an image's npz file; the group is the patient
rows = rule_questions.rows_of(WHAT, lambda folder, splits: FundusFiles(folder))
main = functools.partial(command.run, "fairvlmed", add_options=rule_questions.add_options)

if __name__ == "__main__":
    sys.exit(main())
