"""What the lexicon's terms have to do with each other: places, findings that go by several names, and what denies them.

Small tables of common knowledge, for the rule labeller alone. To add a finding, write a line here.
"""

from __future__ import annotations

from typing import NamedTuple

from medical_rl.data.lexicon import PICTURES

# No finding and no place: what every question about a radiograph names.
PICTURE = frozenset(PICTURES) | {"thorax"}
_LUNGS = ("lung", "lung field", "cardiopulmonary")
_HEART = ("heart size", "heart", "cardiac silhouette", "cardiomediastinal silhouette")
_BONES = ("bone", "thoracic spine", "spine", "rib", "clavicle", "humerus", "shoulder")
_CENTRE = ("mediastinum", "cardiomediastinal silhouette", "trachea", "hilum")
_SPACES = ("pleura", "costophrenic angle", "cardiophrenic angle", "lung fissure")
_VESSELS = (
    "pulmonary vasculature",
    "pulmonary artery",
    "aorta",
    "bronchovascular markings",
    "interstitial markings",
)
_EYE = (
    "optic nerve", "optic disc", "cup-to-disc ratio", "optic cup", "neuroretinal rim", "retinal nerve fiber layer", "visual field",
    "visual acuity", "intraocular pressure", "macula", "fovea", "retinal vessel", "retina", "vitreous", "cornea",
)  # fmt: skip
PLACES = frozenset(
    [*_LUNGS, *_HEART, *_BONES, *_CENTRE, *_SPACES, *_VESSELS, *_EYE, "lung volume", "hemidiaphragm", "diaphragm", "airway",
     "soft tissue", "upper lobe", "middle lobe", "lower lobe", "lingula", "lung base", "lung apex", "lymph node", "abdomen"]
)  # fmt: skip
# Places that are spoken of together: what is said of one is said of the others.
ALIKE = (
    _HEART,
    _LUNGS,
    ("bone", "thoracic spine", "spine", "rib"),
    ("mediastinum", "cardiomediastinal silhouette"),
    ("diaphragm", "hemidiaphragm"),
)


class Kin(NamedTuple):
    """Findings read as one another, further ones whose denial denies these, and places whose normality denies these."""

    names: tuple[str, ...]
    denied_by: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


_OPACITIES = (
    "consolidation",
    "focal consolidation",
    "airspace disease",
    "airspace opacity",
    "infiltrate",
    "opacity",
)
_LUMPS = ("nodule", "lung nodule", "mass", "lung mass")
KIN = (
    Kin(("pleural effusion", "effusion"), ("hydropneumothorax",), ("pleura",)),
    Kin(("pneumothorax", "hydropneumothorax"), (), ("pleura",)),
    Kin(_OPACITIES, ("lung disease",), _LUNGS),
    Kin(("pneumonia", "lung infection", "infection", "tuberculosis"), (*_OPACITIES, "lung disease"), _LUNGS),
    Kin(("nodule", "lung nodule"), (), _LUNGS),
    Kin(("mass", "lung mass"), ("nodule", "lung nodule", "lesion"), _LUNGS),
    Kin(("lesion", *_LUMPS), ("opacity",), _LUNGS),
    Kin(("lung cancer", "tumor", "metastasis"), _LUMPS, _LUNGS),
    Kin(("cardiomegaly",), (), _HEART),
    Kin(("congestive heart failure", "heart failure"), ("pulmonary edema", "edema", "congestion", "cardiomegaly"), _HEART),
    Kin(("pulmonary edema", "edema"), ("congestion", *_OPACITIES), ("lung", "pulmonary vasculature")),
    Kin(("congestion", "pulmonary vascular congestion"), ("pulmonary edema", "edema"), ("pulmonary vasculature", "lung")),
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
    Kin(("lung disease", *_OPACITIES, "pneumonia", "atelectasis", "nodule", "lung nodule", "mass", "pulmonary edema", "pleural effusion"), (), _LUNGS),
    Kin(("glaucoma",), (), ("optic nerve", "optic disc", "cup-to-disc ratio")),
)  # fmt: skip


def kin(finding: str) -> Kin:
    """The line of KIN that has the finding, the one that begins with it before others; one of its own where there is none.

    >>> kin("effusion").names, kin("drusen").names
    (('pleural effusion', 'effusion'), ('drusen',))
    """
    named = [line for line in KIN if finding in line.names]
    return min(named, key=lambda line: line.names.index(finding), default=Kin((finding,)))


def alike(places: tuple[str, ...]) -> frozenset[str]:
    """The places, and those spoken of with them."""
    return frozenset(places).union(*(group for group in ALIKE if set(group) & set(places)))


def findings_of(places: tuple[str, ...]) -> tuple[str, ...]:
    """The findings that would make one of the places abnormal.

    >>> findings_of(("aorta",))
    ('tortuous aorta', 'atherosclerosis', 'aortic calcification')
    """
    near = alike(places)
    return tuple(name for line in KIN if near & set(line.places[:1]) for name in line.names)
