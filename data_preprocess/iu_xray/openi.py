"""Open-i's studies (Indiana University chest X-rays), from its XML files or from Kaggle's two tables.

Words that were removed to protect patients read "XXXX" in both, and stay so. The XML names a study's
images but not their views; Kaggle's `indiana_projections.csv` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from medical_rl.data.drops import Drops
from medical_rl.data.sources import tables
from medical_rl.errors import UserError

REPORTS, PROJECTIONS = "indiana_reports.csv", "indiana_projections.csv"
_REPORT_COLUMNS = ("uid", "MeSH", "findings", "impression")
_PROJECTION_COLUMNS = ("uid", "filename", "projection")
_ENCODED = re.compile(r"<!(DOCTYPE|ENTITY)", re.IGNORECASE)


@dataclass(frozen=True)
class Study:
    """A study: its number, indexing terms, the report's two sections, and its images as (file name, view or "")."""

    uid: str
    terms: tuple[str, ...] = ()
    findings: str = ""
    impression: str = ""
    images: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """Findings and impression; 514 reports of Kaggle's table have no findings, 25 neither."""
        return " ".join(part for part in (self.findings, self.impression) if part)


def study_of(name: str) -> str:
    """The study's number in an image's name or path, in any of the layouts.

    >>> study_of("CXR3030_IM-1405/0.png"), study_of("CXR1_1_IM-0001-3001.png"), study_of("7_IM-2263-1001.dcm.png")
    ('3030', '1', '7')
    """
    if match := re.match(r"(?:.*/)?(?:CXR)?(\d+)_", name):
        return match[1]
    raise UserError("the path of its image names no study (CXR<number>_...)")


def plain_name(name: str) -> str:
    """An image's name as Open-i and Kaggle both have it, for they write one file in two ways.

    >>> plain_name("CXR1_1_IM-0001-3001.png") == plain_name("1_IM-0001-3001.dcm.png") == "1_IM-0001-3001"
    True
    """
    match = re.match(r"(?:CXR)?(\d+)_(?:\d+_)?(IM-[\d-]+)", name)
    return f"{match[1]}_{match[2]}" if match else name


def studies(source: Path, drops: Drops) -> dict[str, Study]:
    """{number: study} from Kaggle's tables where they are, else from the XML files; UserError with neither."""
    if (source / REPORTS).is_file():
        return _kaggle(source, drops)
    if found := sorted(source.rglob("*.xml"), key=lambda path: (len(path.stem), path.stem)):
        return _distinct(_xml(found, drops), drops)
    raise UserError(
        f"{source.absolute()} has neither {REPORTS} nor XML files (ecgen-radiology/1.xml, ...). The XML is at "
        "https://openi.nlm.nih.gov/faq#collection, the tables at https://www.kaggle.com/datasets/raddar/"
        "chest-xrays-indiana-university."
    )


def has_studies(source: Path) -> bool:
    """Whether `studies` would find any file to read."""
    return (source / REPORTS).is_file() or next(source.rglob("*.xml"), None) is not None


def views(source: Path) -> dict[str, list[tuple[str, str]]]:
    """{number: [(file name, "frontal" or "lateral")]} in the table's order; {} without the table."""
    if not (source / PROJECTIONS).is_file():
        return {}
    found: dict[str, list[tuple[str, str]]] = {}
    for _, row in tables.read(source / PROJECTIONS, _PROJECTION_COLUMNS):
        found.setdefault(row["uid"], []).append((row["filename"], row["projection"].lower()))
    return found


def listed(source: Path) -> dict[str, list[tuple[str, str]]]:
    """`views`, or without the table the images that the XML files name, their views unknown ("")."""
    if found := views(source):
        return found
    named = _distinct(_xml(sorted(source.rglob("*.xml")), drops := Drops()), drops)
    return {uid: list(study.images) for uid, study in named.items()}


def without_frontal(found: dict[str, list[tuple[str, str]]]) -> int:
    """How many studies have no frontal view.

    >>> without_frontal({"1": [("a.png", "frontal")], "74": [("b.png", "lateral")]})
    1
    """
    return sum(all(view != "frontal" for _, view in images) for images in found.values())


def _kaggle(source: Path, drops: Drops) -> dict[str, Study]:
    images = views(source)
    made = (
        Study(
            uid=row["uid"],
            terms=tuple(term for term in row["MeSH"].split(";") if term),
            findings=row["findings"],
            impression=row["impression"],
            images=tuple(images.get(row["uid"], ())),
        )
        for _, row in tables.read(source / REPORTS, _REPORT_COLUMNS)
    )
    return _distinct(made, drops)


def _distinct(found: Iterator[Study], drops: Drops) -> dict[str, Study]:
    kept: dict[str, Study] = {}
    for study in found:
        if study.uid in kept:
            drops.add(f"study {study.uid} again", "the number of its study came before")
        kept.setdefault(study.uid, study)
    return kept


def _xml(paths: list[Path], drops: Drops) -> Iterator[Study]:
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
        elif (uid := re.fullmatch(r"(?:CXR)?(\d+)", _uid(root))) is None:
            drops.add(path.name, "its XML names no study (uId)")
        else:
            yield _study(root, uid[1])


def _study(root: ElementTree.Element, uid: str) -> Study:
    sections = {part.get("Label", "").upper(): _text(part) for part in root.iter("AbstractText")}
    names = (image.get("id", "") for image in root.iter("parentImage"))
    return Study(
        uid=uid,
        terms=tuple(_text(term) for mesh in root.iter("MeSH") for term in mesh.iter("major") if _text(term)),
        findings=sections.get("FINDINGS", ""),
        impression=sections.get("IMPRESSION", ""),
        images=tuple((f"{name}.png", "") for name in names if name),
    )


def _uid(root: ElementTree.Element) -> str:
    found = root.find("uId")
    return "" if found is None else found.get("id", "").strip()


def _text(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())
