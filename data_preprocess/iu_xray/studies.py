"""IU-Xray's studies and images as they come: Open-i's XML files, Kaggle's two tables, R2Gen's annotation.

Words that were removed to protect patients read "XXXX" in all, and stay so. The XML names a study's images
but not their views; Kaggle's `indiana_projections.csv` does. R2Gen's annotation.json is the split of 2,955
studies into train, val and test that papers share; its images lie in folders (`CXR1_IM-0001/0.png`), the
others' flat.
"""

import collections
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from medical_rl.data.rows import Drops
from medical_rl.data.sources import files, tables
from medical_rl.data_preprocess import file_names
from medical_rl.data_preprocess.rule_questions import SPLITS, Loaded
from medical_rl.errors import UserError, check_known

VIEWS = ("frontal", "lateral", "all")
NO_VIEW = "its study has no {view} view"
UNKNOWN_VIEW = "which of its study's images is {view} is not known (indiana_projections.csv says it)"
REPORTS, PROJECTIONS = "indiana_reports.csv", "indiana_projections.csv"
_ANNOTATION_KEYS = {"id", "report", "image_path", "split"}
_ENCODED = re.compile(r"<!(DOCTYPE|ENTITY)", re.IGNORECASE)

Views = dict[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class Study:
    """A study: its number, indexing terms, report in two sections, images as (file name, view or "")."""

    uid: str
    terms: tuple[str, ...] = ()
    findings: str = ""
    impression: str = ""
    images: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """Findings and impression; 514 reports of Kaggle's table have no findings, 25 neither."""
        return " ".join(filter(None, (self.findings, self.impression)))


def study_of(name: str) -> str:
    """The study's number in an image's name or path, in any of the layouts.

    >>> names = ["CXR3030_IM-1405/0.png", "CXR1_1_IM-0001-3001.png", "7_IM-2263-1001.dcm.png"]
    >>> list(map(study_of, names))
    ['3030', '1', '7']
    """
    match = re.match(r"(?:.*/)?(?:CXR)?(\d+)_", name)
    if not match:
        raise UserError("the path of its image names no study (CXR<number>_...)")
    return match[1]


def plain_name(name: str) -> str:
    """An image's name as Open-i and Kaggle both have it, for they write one file in two ways.

    >>> plain_name("CXR1_1_IM-0001-3001.png") == plain_name("1_IM-0001-3001.dcm.png") == "1_IM-0001-3001"
    True
    """
    match = re.match(r"(?:CXR)?(\d+)_(?:\d+_)?(IM-[\d-]+)", name)
    return f"{match[1]}_{match[2]}" if match else name


def read_studies(source: Path, drops: Drops) -> dict[str, Study]:
    """{number: study} from Kaggle's tables, else from the XML files; UserError with neither."""
    if (source / REPORTS).is_file():
        return _distinct(_kaggle_studies(source), drops)
    paths = sorted(source.rglob("*.xml"), key=lambda path: (len(path.stem), path.stem))
    if not paths:
        raise UserError(
            f"{source.absolute()} has neither {REPORTS} nor XML files (ecgen-radiology/1.xml, ...). The "
            "XML is at https://openi.nlm.nih.gov/faq#collection, the tables at "
            "https://www.kaggle.com/datasets/raddar/chest-xrays-indiana-university."
        )
    return _distinct(_xml_studies(paths, drops), drops)


def has_studies(source: Path) -> bool:
    """Whether `read_studies` would find any file to read."""
    return (source / REPORTS).is_file() or next(source.rglob("*.xml"), None) is not None


def read_views(source: Path) -> Views:
    """{number: [(file name, "frontal" or "lateral")]} in the table's order; {} without the table."""
    views: Views = {}
    if (source / PROJECTIONS).is_file():
        for _, row in tables.read_table(source / PROJECTIONS, ("uid", "filename", "projection")):
            views.setdefault(row["uid"], []).append((row["filename"], row["projection"].lower()))
    return views


def study_images(source: Path) -> Views:
    """`read_views`, or without the table the images that the XML files name, their views unknown ("")."""
    views = read_views(source)
    if not views:
        drops = Drops()
        studies = _distinct(_xml_studies(sorted(source.rglob("*.xml")), drops), drops)
        views = {uid: list(study.images) for uid, study in studies.items()}
    return views


def find_annotation(folder: Path) -> Path | None:
    """R2Gen's annotation in `folder`, the only one of the names it goes by; None where there is none."""
    paths = sorted(folder.glob("*annotation*.json"))
    if len(paths) > 1:
        raise UserError(f"{folder.absolute()} has several annotations: {file_names(paths)}. Keep one.")
    return paths[0] if paths else None


def read_annotation(path: Path) -> tuple[list[dict], list[str]]:
    """(entries, repairs): every entry with its split, and a sentence for each key that had to be repaired.

    A copy goes round whose third key is four spaces. A key that is no split's name is read as the split that
    all of its entries state; UserError where they state several, none, or another than their key.
    """
    content = tables.read_json(path)
    if not content or not isinstance(content, dict) or set(map(type, content.values())) != {list}:
        raise UserError(
            f"{path.absolute()} should hold an object with the lists train, val and test, and does not."
        )
    entries, repairs = [], []
    for key, part in content.items():
        stated = set()
        for number, entry in enumerate(part):
            if not isinstance(entry, dict) or not entry.keys() >= _ANNOTATION_KEYS:
                keys = "id, report, image_path, split"
                raise UserError(f"Entry {number} under {key!r} of {path.absolute()} lacks one of {keys}.")
            stated.add(entry["split"])
        split = key if key in SPLITS else next(iter(stated), "")
        if stated - {split} or split not in SPLITS:
            raise UserError(
                f"The entries under {key!r} of {path.absolute()} state the splits "
                f"{', '.join(sorted(map(str, stated))) or 'none'}; each key should be one of "
                f"{', '.join(SPLITS)} and hold its own."
            )
        if split != key:
            repairs.append(
                f"The key {key!r} of {path.name} is no split; it was read as {split!r}, which its "
                f"{len(part):,} entries state"
            )
        entries += part
    return entries, repairs


def _kaggle_studies(source: Path) -> Iterator[Study]:
    views = read_views(source)
    for _, row in tables.read_table(source / REPORTS, ("uid", "MeSH", "findings", "impression")):
        terms = tuple(filter(None, row["MeSH"].split(";")))
        images = tuple(views.get(row["uid"], ()))
        yield Study(row["uid"], terms, row["findings"], row["impression"], images)


def _xml_studies(paths: list[Path], drops: Drops) -> Iterator[Study]:
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8-sig")
            # A report needs no declarations, and entities are how an XML file grows to fill the memory.
            root = None if _ENCODED.search(text) else ElementTree.fromstring(text)
        except (OSError, UnicodeDecodeError, ElementTree.ParseError) as error:
            drops.add(path.name, "its XML cannot be read", str(error))
            continue
        if root is None:
            drops.add(path.name, "its XML declares entities, which no report does")
            continue
        element = root.find("uId")
        uid = re.fullmatch(r"(?:CXR)?(\d+)", "" if element is None else element.get("id", "").strip())
        if uid is None:
            drops.add(path.name, "its XML names no study (uId)")
        else:
            yield _xml_study(root, uid[1])


def _xml_study(root: ElementTree.Element, uid: str) -> Study:
    sections, terms, images = {}, [], []
    for part in root.iter("AbstractText"):
        sections[part.get("Label", "").upper()] = _text(part)
    for mesh in root.iter("MeSH"):
        terms += map(_text, mesh.iter("major"))
    for image in root.iter("parentImage"):
        if image.get("id"):
            images.append((f"{image.get('id')}.png", ""))
    findings, impression = sections.get("FINDINGS", ""), sections.get("IMPRESSION", "")
    return Study(uid, tuple(filter(None, terms)), findings, impression, tuple(images))


def _text(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _distinct(studies: Iterable[Study], drops: Drops) -> dict[str, Study]:
    by_number: dict[str, Study] = {}
    for study in studies:
        if study.uid in by_number:
            drops.add(f"study {study.uid} again", "the number of its study came before")
        by_number.setdefault(study.uid, study)
    return by_number


class IuImages:
    """The images of one copy of the dataset, as `rule_questions.samples` asks for them.

    A question of RULE names one file of R2Gen's folders. Where it is not there, the frontal view of the study
    stands for it (or what `view` says): R2Gen numbered two views of each study and did not publish which is
    which.
    """

    source, restricted = "iu_xray", False

    def __init__(self, folder: Path, view: str, published: dict[str, str], listed: Views) -> None:
        check_known("view", view, VIEWS)
        self.view, self.splits, self.listed = view, published, listed
        # An image is known by its name in Open-i's and Kaggle's folders, in R2Gen's by the study's folder
        # before it.
        self.paths: dict[str, list[Path]] = collections.defaultdict(list)
        for path in files.below(folder):
            self.paths[plain_name(path.name)].append(path)
            self.paths[f"{path.parent.name}/{path.name}"].append(path)

    def group(self, name: str) -> str:
        """The study, "CXR3030"."""
        return f"CXR{study_of(name)}"

    def published(self, name: str) -> str | None:
        """R2Gen's split of the study; None for the studies it left out."""
        return self.splits.get(self.group(name))

    def there(self, name: str) -> bool:
        """Whether the named file or any image of its study is there."""
        return bool(self.files(name)) or self.has(study_of(name))

    def has(self, study: str) -> bool:
        """Whether any image of the study is there."""
        return any(self.files(name) for name, _ in self.listed.get(study, ()))

    def load(self, name: str, row: str, drops: Drops) -> Loaded | None:
        """The named file, else the study's images of the wanted view."""
        paths = self.files(name)
        if not paths:
            return self.study(study_of(name), row, drops)
        picture = files.read_only_picture(paths, row, drops)
        return picture and ((picture.data,), {})

    def study(self, study: str, row: str, drops: Drops) -> Loaded | None:
        """The images of one study: its first frontal or lateral one, or all, frontal ones first."""
        chosen = self.listed.get(study, [])
        if not chosen:
            return drops.add(row, "its study lists no image")
        views = [view for _, view in chosen]
        if self.view == "all":
            chosen = sorted(chosen, key=lambda image: image[1] != "frontal")
        elif self.view in views:
            chosen = [chosen[views.index(self.view)]]
        else:
            return drops.add(row, (NO_VIEW if all(views) else UNKNOWN_VIEW).format(view=self.view))
        pictures = [files.read_only_picture(self.files(name), row, drops) for name, _ in chosen]
        if None in pictures:
            return None
        return tuple(picture.data for picture in pictures), {"views": [view for _, view in chosen]}

    def files(self, name: str) -> list[Path]:
        """The files that go by this name."""
        # "CXR478_IM-2101-1001/0.png" is a study's folder of R2Gen, and no file of that number in a flat one.
        path = PurePosixPath(name)
        known = f"{path.parent.name}/{path.name}" if path.parent.name else plain_name(path.name)
        return self.paths.get(known, [])
