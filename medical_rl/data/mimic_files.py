"""Where an image of MIMIC-CXR-JPG lies in the user's own copy: files/p10/p10000032/s50414267/<uuid>.jpg."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from medical_rl.data import files, tables
from medical_rl.data.drops import Drops
from medical_rl.errors import UserError

SPLIT_TABLE = "mimic-cxr-2.0.0-split.csv"
_COLUMNS = ("dicom_id", "subject_id", "split")
_NAMES = {"train": "train", "validate": "val", "test": "test"}
_PATH = re.compile(r"(?:.*/)?(p\d{2})/(p\d{8})/(s\d{8})/([\w-]+)\.jpg")


class MimicFiles:
    """The images of one copy of the dataset, as `medical_rl.data.question_rows` asks for them.

    `splits` is {dicom id: (patient, split)} of the official table, {} where the split is ours.
    """

    source, restricted = "mimic_cxr", True

    def __init__(self, folder: Path, splits: dict[str, tuple[str, str]]) -> None:
        self.folder, self.splits = folder, splits

    def group(self, name: str) -> str:
        """The patient, "p10000032"."""
        return _parts(name)[1]

    def published(self, name: str) -> str | None:
        """The official split of the image; None where the table does not name it, or names another patient."""
        _, patient, _, dicom = _parts(name)
        subject, split = self.splits.get(dicom, ("", None))
        return split if f"p{subject}" == patient else None

    def there(self, name: str) -> bool:
        """Whether the file is in the copy."""
        return self._path(name).is_file()

    def load(self, name: str, row: str, drops: Drops) -> tuple[tuple[bytes, ...], dict] | None:
        """The JPEG as it is, and the study."""
        picture = files.picture(self._path(name), row, drops)
        return picture and ((picture.data,), {"study": _parts(name)[2]})

    def state(self, names: Iterable[str]) -> str:
        """A SHA-256 of the names, sizes and times of the images asked about; the whole copy would take minutes to walk."""
        found = hashlib.sha256()
        for name in sorted(set(names)):
            if _PATH.fullmatch(name) and (path := self._path(name)).is_file():
                found.update(f"{name} {path.stat().st_size} {path.stat().st_mtime_ns}\n".encode())
        return found.hexdigest()

    def _path(self, name: str) -> Path:
        """The path by the four parts of the name alone, so that no name leads out of the folder."""
        shelf, patient, study, dicom = _parts(name)
        inner = Path(shelf, patient, study, f"{dicom}.jpg")
        return next((p for base in ("files", "") if (p := self.folder / base / inner).is_file()), self.folder / inner)


def official(folder: Path) -> dict[str, tuple[str, str]]:
    """{dicom id: (patient's number, split)} from the table that is published with the images."""
    path = folder / SPLIT_TABLE
    if not path.is_file():
        zipped = f" Unpack {path.name}.gz first." if path.with_name(f"{path.name}.gz").exists() else ""
        raise UserError(f"splits=published needs {SPLIT_TABLE} in {folder.absolute()}.{zipped} Or take splits=seeded.")
    found = {}
    for line, row in tables.read(path, _COLUMNS):
        if row["split"] not in _NAMES:
            raise UserError(
                f"Line {line} of {path.absolute()} has the split {row['split']!r}, not {', '.join(_NAMES)}."
            )
        found[row["dicom_id"]] = (row["subject_id"], _NAMES[row["split"]])
    return found


def study_of(name: str) -> str:
    """The study, "s50414267", in the path of an image or of a report; the name itself without one.

    >>> study_of("files/p10/p10000032/s50414267.txt")
    's50414267'
    """
    match = re.search(r"s\d{8}", name)
    return match[0] if match else name


def patient_of(entry: Mapping) -> str:
    """The patient that a report's entry names, "" where it names none.

    >>> patient_of({"subject_id": 10000032}), patient_of({"id": "a", "image_path": ["p10/p10000032/s50414267/b.jpg"]})
    ('p10000032', 'p10000032')
    """
    if str(entry.get("subject_id", "")).isdigit():
        return f"p{entry['subject_id']}"
    paths = entry.get("image_path") or ()
    names = [str(entry.get("id", "")), *([paths] if isinstance(paths, str) else map(str, paths))]
    return next((match[0] for name in names if (match := re.search(r"\bp\d{8}\b", name))), "")


def _parts(name: str) -> tuple[str, str, str, str]:
    """(shelf, patient, study, dicom id) of an image's path.

    >>> _parts("files/p10/p10000032/s50414267/02aa804e-bde0afdd.jpg")
    ('p10', 'p10000032', 's50414267', '02aa804e-bde0afdd')
    """
    if not (match := _PATH.fullmatch(name)) or match[1] != match[2][:3]:
        raise UserError("the path of its image is not p../p......../s......../<id>.jpg")
    return match.groups()
