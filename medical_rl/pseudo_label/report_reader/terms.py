"""The lexicon's terms: where a text names them, and what they have to do with each other.

Terms are found by word and with their places: "mass" is not in "massive". The tables say which terms are
places, which findings go by several names, and what denies them: small tables of common knowledge, for the
rule labeller alone. To add a finding, write a line in KIN.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

from medical_rl.data.lexicon import LEXICON, PICTURES
from medical_rl.parsing.text import stem, words

# No finding and no place: what every question about a radiograph names.
PICTURE = frozenset(PICTURES) | {"thorax"}
_LUNGS = ("lung", "lung field", "cardiopulmonary")
_HEART = ("heart size", "heart", "cardiac silhouette", "cardiomediastinal silhouette")
_BONES = ("bone", "thoracic spine", "spine", "rib", "clavicle", "humerus", "shoulder")
_CENTRE = ("mediastinum", "cardiomediastinal silhouette", "trachea", "hilum")
_SPACES = ("pleura", "costophrenic angle", "cardiophrenic angle", "lung fissure")
_VESSELS = (
    "pulmonary vasculature", "pulmonary artery", "aorta", "bronchovascular markings", "interstitial markings",
)  # fmt: skip
_EYE = (
    "optic nerve", "optic disc", "cup-to-disc ratio", "optic cup", "neuroretinal rim",
    "retinal nerve fiber layer", "visual field", "visual acuity", "intraocular pressure", "macula", "fovea",
    "retinal vessel", "retina", "vitreous", "cornea",
)  # fmt: skip
_OTHER_PLACES = (
    "lung volume", "hemidiaphragm", "diaphragm", "airway", "soft tissue", "upper lobe", "middle lobe",
    "lower lobe", "lingula", "lung base", "lung apex", "lymph node", "abdomen",
)  # fmt: skip
PLACES = frozenset(_LUNGS + _HEART + _BONES + _CENTRE + _SPACES + _VESSELS + _EYE + _OTHER_PLACES)
# Places that are spoken of together: what is said of one is said of the others.
ALIKE = (
    _HEART,
    _LUNGS,
    ("bone", "thoracic spine", "spine", "rib"),
    ("mediastinum", "cardiomediastinal silhouette"),
    ("diaphragm", "hemidiaphragm"),
)


class Mention(NamedTuple):
    """A concept that words[start:end] name."""

    concept: str
    start: int
    end: int


class Kin(NamedTuple):
    """Findings read as one another, others whose denial, and places whose normality, denies these."""

    names: tuple[str, ...]
    denied_by: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


_OPACITIES = (
    "consolidation", "focal consolidation", "airspace disease", "airspace opacity", "infiltrate", "opacity",
)  # fmt: skip
_LUMPS = ("nodule", "lung nodule", "mass", "lung mass")
KIN = (
    Kin(("pleural effusion", "effusion"), ("hydropneumothorax",), ("pleura",)),
    Kin(("pneumothorax", "hydropneumothorax"), (), ("pleura",)),
    Kin(_OPACITIES, ("lung disease",), _LUNGS),
    Kin(("pneumonia", "lung infection", "infection", "tuberculosis"), _OPACITIES + ("lung disease",), _LUNGS),
    Kin(("nodule", "lung nodule"), (), _LUNGS),
    Kin(("mass", "lung mass"), ("nodule", "lung nodule", "lesion"), _LUNGS),
    Kin(("lesion",) + _LUMPS, ("opacity",), _LUNGS),
    Kin(("lung cancer", "tumor", "metastasis"), _LUMPS, _LUNGS),
    Kin(("cardiomegaly",), (), _HEART),
    Kin(
        ("congestive heart failure", "heart failure"),
        ("pulmonary edema", "edema", "congestion", "cardiomegaly"), _HEART,
    ),
    Kin(("pulmonary edema", "edema"), ("congestion",) + _OPACITIES, ("lung", "pulmonary vasculature")),
    Kin(
        ("congestion", "pulmonary vascular congestion"),
        ("pulmonary edema", "edema"), ("pulmonary vasculature", "lung"),
    ),
    Kin(("fracture", "rib fracture", "trauma"), (), ("rib", "bone")),
    Kin(("collapsed lung", "lobar collapse", "atelectasis"), ("pneumothorax",), _LUNGS),
    Kin(("degenerative changes", "spondylosis", "arthritis"), (), ("thoracic spine", "spine", "bone")),
    Kin(("scoliosis",), (), ("thoracic spine", "spine")),
    Kin(("mediastinal widening",), (), ("mediastinum", "cardiomediastinal silhouette")),
    Kin(("lymphadenopathy",), (), ("hilum", "mediastinum")),
    Kin(("granuloma", "calcification"), (), _LUNGS),
    Kin(("scarring", "fibrosis"), (), _LUNGS),
    Kin(("emphysema", "copd", "hyperinflation"), (), _LUNGS),
    Kin(("interstitial lung disease", "fibrosis"), ("interstitial markings",), _LUNGS),
    Kin(("tortuous aorta", "atherosclerosis", "aortic calcification"), (), ("aorta",)),
    Kin(
        ("lung disease",) + _OPACITIES
        + ("pneumonia", "atelectasis", "nodule", "lung nodule", "mass", "pulmonary edema")
        + ("pleural effusion",),
        (), _LUNGS,
    ),
    Kin(("glaucoma",), (), ("optic nerve", "optic disc", "cup-to-disc ratio")),
)  # fmt: skip


def mentions(clause: Sequence[str]) -> list[Mention]:
    """The concepts in lower-case words, in order; the longest at each word takes its words.

    >>> [m.concept for m in mentions(words("massive pleural effusions and an enlarged heart"))]
    ['pleural effusion', 'cardiomegaly']
    """
    stems = tuple(map(stem, clause))
    concepts, longest = _concepts_by_stems()
    found, start = [], 0
    while start < len(stems):
        end = min(start + longest, len(stems))
        while end > start and stems[start:end] not in concepts:
            end -= 1
        if end > start:
            found.append(Mention(concepts[stems[start:end]], start, end))
        start = max(end, start + 1)
    return found


@functools.cache
def _concepts_by_stems() -> tuple[dict[tuple[str, ...], str], int]:
    """{stems: concept}, and the most words one has; a concept's own name beats another's way of writing."""
    concepts = {}

    def add(way: str, name: str) -> None:
        concepts[tuple(map(stem, words(way.replace("-", " ").casefold())))] = name

    for name, ways in LEXICON.items():
        for way in ways:
            add(way, name)
    for name in LEXICON:
        add(name, name)
    return concepts, max(map(len, concepts))


def kin(finding: str) -> Kin:
    """The line of KIN that has the finding, one that begins with it first; else one of its own.

    >>> kin("effusion").names, kin("drusen").names
    (('pleural effusion', 'effusion'), ('drusen',))
    """
    lines = [line for line in KIN if finding in line.names]
    return min(lines, key=lambda line: line.names.index(finding), default=Kin((finding,)))


def places_alike(places: tuple[str, ...]) -> frozenset[str]:
    """The places, and those spoken of with them."""
    together = set(places)
    for group in ALIKE:
        if not set(places).isdisjoint(group):
            together.update(group)
    return frozenset(together)


def findings_of(places: tuple[str, ...]) -> tuple[str, ...]:
    """The findings that would make one of the places abnormal.

    >>> findings_of(("aorta",))
    ('tortuous aorta', 'atherosclerosis', 'aortic calcification')
    """
    near = places_alike(places)
    findings = []
    for line in KIN:
        if near.intersection(line.places[:1]):
            findings += line.names
    return tuple(findings)
