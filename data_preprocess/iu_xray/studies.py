"""IU-Xray's studies as they come: Open-i's XML files, Kaggle's two tables, R2Gen's annotation.

Words that were removed to protect patients read "XXXX" in all, and stay so. The XML names a study's images
but not their views; Kaggle's `indiana_projections.csv` does. R2Gen's annotation.json is the split of 2,955
studies into train, val and test that papers share.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from medical_rl.data.drops import Drops
from medical_rl.data.sources import json_files, tables
from medical_rl.data_preprocess import file_names
from medical_rl.data_preprocess.question_rows import SPLITS
from medical_rl.errors import UserError

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


def without_frontal(views: Views) -> int:
    """How many studies have no frontal view.

    >>> without_frontal({"1": [("a.png", "frontal")], "74": [("b.png", "lateral")]})
    1
    """
    return sum("frontal" not in [view for _, view in images] for images in views.values())


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
    content = json_files.read_json(path)
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
