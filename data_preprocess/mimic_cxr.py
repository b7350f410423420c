"""MIMIC-CXR: chest X-rays with reports from Boston, yes/no questions; your own credentialed copy only.

Source: Johnson et al., Scientific Data 2019, doi 10.1038/s41597-019-0322-0; MIMIC-CXR-JPG at PhysioNet, doi
10.13026/jsn5-t979. Questions: RULE (Xia et al., EMNLP 2024), 3,470 of them; ask its authors for the file, for
it quotes reports.
Licence: PhysioNet Credentialed Health Data License 1.5.0. Its data use agreement forbids sharing the data and
sending them to third parties: every row is `restricted`, nothing is downloaded or uploaded, and no remote
judge or generator is sent a row. The prepared files are copies of the data and fall under the same agreement.
One row, in its form only, for the data may not be shown: question "Is there a pleural effusion?", gold "no",
image files/p10/p1......./s5......./<id>.jpg.
What the splits do not prove: RULE's questions are a test file; `splits=seeded` divides them 80/10/10 by
patient, so its scores do not compare with papers that test on all (`splits=test`). `splits=published` is the
official split, by patient. A language model wrote questions and answers from the reports: "no" often means
"not mentioned".

An image lies in the user's own copy at files/p10/p10000032/s50414267/<uuid>.jpg.
"""

import functools
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from medical_rl.data.prepare import command
from medical_rl.data.rows import Drops
from medical_rl.data.sources import files, tables
from medical_rl.data_preprocess import file_names, rule_questions
from medical_rl.errors import UserError

SPLITS, splits_of = rule_questions.SPLITS, rule_questions.splits_of
SPLIT_TABLE = "mimic-cxr-2.0.0-split.csv"
OFFICIAL_NAMES = {"train": "train", "validate": "val", "test": "test"}
_PATH = re.compile(r"(?:.*/)?(p\d{2})/(p\d{8})/(s\d{8})/([\w-]+)\.jpg")
WHAT = (
    "It should be your own copy of MIMIC-CXR-JPG (files/p10/p......../s......../<id>.jpg) with a question "
    "file (*.jsonl); access is by credentials: https://physionet.org/content/mimic-cxr-jpg."
)
NOTES = (
    "Restricted: the data use agreement forbids sharing these rows and sending them to third parties; so "
    "too this folder.",
    "Questions and answers were written by a language model from the reports; a finding not mentioned is "
    "a no.",
)


def describe(
    source, *, questions: str | list | None = None, images: str | None = None, splits: str = "seeded",
    split_seed: int = 0, **_,
) -> dict:  # fmt: skip
    """The facts for the data card: licence, DOI, the question files and what the splits are."""
    question_files = rule_questions.question_files(files.source_folder(source, WHAT), questions)
    folder = files.source_folder(images or source, WHAT)
    names: set[str] = set()
    for path in question_files:
        names.update(question.image for question in rule_questions.questions(path))
    return {
        "source": "MIMIC-CXR-JPG",
        "file": file_names(question_files),
        "licence": "PhysioNet Credentialed Health Data License 1.5.0",
        "url": "https://physionet.org/content/mimic-cxr-jpg",
        "doi": "10.13026/jsn5-t979",
        "restricted": True,
        "questions": rule_questions.content_hashes(question_files),
        "images": MimicFiles(folder, {}).state(names),
        "split_table": files.content_hash(folder / SPLIT_TABLE) if splits == "published" else None,
        "notes": [*NOTES, rule_questions.split_note(splits, split_seed, "patient", SPLIT_TABLE)],
    }


def content_paths(source, **_) -> list:
    """Nothing to walk: the copy has 377,000 files, and `describe` tells the state of those asked about."""
    return []


def reports(source, **_) -> Iterator[dict]:
    """The reports of RULE's retriever file (JSON): id, text, study ("s50414267"), split; restricted.

    `source` is that file, or a folder with such files (*retriever*.json). A report whose entry names its
    patient (subject_id, or p........ in a path) has the patient as its group, so that no report of a row's
    own patient is retrieved.
    """
    path = Path(source).expanduser()
    for file in rule_questions.retriever_files(path) if path.is_dir() else [path]:
        yield from rule_questions.corpus(file, study_of, patient_of)


class MimicFiles:
    """The images of one copy of the dataset, as `rule_questions.samples` asks for them.

    `splits` is {dicom id: (patient, split)} of the official table, {} where the split is ours.
    """

    source, restricted = "mimic_cxr", True

    def __init__(self, folder: Path, splits: dict[str, tuple[str, str]]) -> None:
        self.folder, self.splits = folder, splits

    def group(self, name: str) -> str:
        """The patient, "p10000032"."""
        return _parts(name)[1]

    def published(self, name: str) -> str | None:
        """The official split of the image; None where the table does not name it or its patient."""
        _, patient, _, dicom = _parts(name)
        subject, split = self.splits.get(dicom, ("", None))
        return split if f"p{subject}" == patient else None

    def there(self, name: str) -> bool:
        """Whether the file is in the copy."""
        return self._path(name).is_file()

    def load(self, name: str, row: str, drops: Drops) -> tuple[tuple[bytes, ...], dict] | None:
        """The JPEG as it is, and the study."""
        picture = files.read_picture(self._path(name), row, drops)
        return picture and ((picture.data,), {"study": _parts(name)[2]})

    def state(self, names: Iterable[str]) -> str:
        """A SHA-256 of the names, sizes and times of the images asked about."""
        digest = hashlib.sha256()
        for name in sorted(names):
            path = self._path(name) if _PATH.fullmatch(name) else None
            if path and path.is_file():
                digest.update(f"{name} {path.stat().st_size} {path.stat().st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def _path(self, name: str) -> Path:
        """The path by the four parts of the name alone, so that no name leads out of the folder."""
        shelf, patient, study, dicom = _parts(name)
        inner = Path(shelf, patient, study, f"{dicom}.jpg")
        path = self.folder / "files" / inner
        return path if path.is_file() else self.folder / inner


def official_splits(folder: Path) -> dict[str, tuple[str, str]]:
    """{dicom id: (patient's number, split)} from the table that is published with the images."""
    path = folder / SPLIT_TABLE
    if not path.is_file():
        zipped = f" Unpack {path.name}.gz first." if path.with_name(f"{path.name}.gz").exists() else ""
        raise UserError(
            f"splits=published needs {SPLIT_TABLE} in {folder.absolute()}.{zipped} Or take splits=seeded."
        )
    splits = {}
    for line, row in tables.read_table(path, ("dicom_id", "subject_id", "split")):
        if row["split"] not in OFFICIAL_NAMES:
            told = f"has the split {row['split']!r}, not {', '.join(OFFICIAL_NAMES)}"
            raise UserError(f"Line {line} of {path.absolute()} {told}.")
        splits[row["dicom_id"]] = (row["subject_id"], OFFICIAL_NAMES[row["split"]])
    return splits


def study_of(name: str) -> str:
    """The study, "s50414267", in the path of an image or of a report; the name itself without one.

    >>> study_of("files/p10/p10000032/s50414267.txt")
    's50414267'
    """
    match = re.search(r"s\d{8}", name)
    return match[0] if match else name


def patient_of(entry: Mapping) -> str:
    """The patient that a report's entry names, "" where it names none.

    >>> patient_of({"id": "a", "image_path": ["p10/p10000032/s50414267/b.jpg"]})
    'p10000032'
    """
    if str(entry.get("subject_id", "")).isdigit():
        return f"p{entry['subject_id']}"
    paths = entry.get("image_path") or ()
    paths = [paths] if isinstance(paths, str) else map(str, paths)
    match = re.search(r"\bp\d{8}\b", "\n".join([str(entry.get("id", "")), *paths]))
    return match[0] if match else ""


def _parts(name: str) -> tuple[str, str, str, str]:
    """(shelf, patient, study, dicom id) of an image's path.

    >>> _parts("files/p10/p10000032/s50414267/02aa804e-bde0afdd.jpg")
    ('p10', 'p10000032', 's50414267', '02aa804e-bde0afdd')
    """
    match = _PATH.fullmatch(name)
    if not match or match[1] != match[2][:3]:
        raise UserError("the path of its image is not p../p......../s......../<id>.jpg")
    return match.groups()


def _open_copy(folder: Path, splits: str) -> MimicFiles:
    return MimicFiles(folder, official_splits(folder) if splits == "published" else {})


# published: the table mimic-cxr-2.0.0-split.csv beside the images; the group is the patient ("p10000032")
rows = rule_questions.rows_of(WHAT, _open_copy)
main = functools.partial(command.run, "mimic_cxr", add_options=rule_questions.add_options)

if __name__ == "__main__":
    sys.exit(main())
