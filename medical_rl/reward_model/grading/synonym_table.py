"""Synonym tables of our own: words and phrases that say the same in a radiologist's report, and those of the phantoms.

Only true synonyms stand here: "opacity" is no "density", "stable" no "normal", "collapse" no "pneumothorax". Entries are
phrases where a word alone would break the grammar ("is enlarged", not "enlarged"). No entry holds a negation, a side, a
number or a degree of certainty. To add one, write it here; the test of this file says whether it may stand.
"""

from __future__ import annotations

# Each way of a group may stand for each other.
REPORT = (
    ("is enlarged", "is increased in size"),
    ("are enlarged", "are increased in size"),
    ("markedly", "considerably"),
    ("mildly", "slightly"),
    ("mild", "slight"),
    ("marked", "pronounced"),
    ("prominent", "conspicuous"),
    ("approximately", "about"),
    ("adjacent to", "next to"),
    ("within normal limits", "in the normal range"),
    ("consistent with", "compatible with"),
    ("suggestive of", "suggesting"),
    ("demonstrates", "shows", "reveals", "displays"),
    ("demonstrated", "shown"),
    ("image", "picture"),
    ("images", "pictures"),
    ("located", "situated"),
    ("identified", "found"),
    ("noted", "observed"),
    ("appears", "looks"),
    ("appear", "look"),
    ("due to", "because of"),
    ("increased", "elevated"),
    ("decreased", "reduced"),
    ("therefore", "thus", "hence"),
    ("evidence of", "signs of"),
    ("entire", "whole"),
    ("surrounding", "neighbouring"),
    ("multiple", "numerous"),
    ("several", "a number of"),
    ("diffuse", "widespread"),
    ("focal", "localized"),
    ("homogeneous", "uniform"),
    ("heterogeneous", "inhomogeneous"),
    ("irregular", "uneven"),
    ("asymmetric", "asymmetrical"),
    ("round", "circular"),
    ("oval", "ovoid"),
    ("well-defined", "well-circumscribed", "sharply marginated"),
    ("ill-defined", "poorly defined"),
    ("border", "margin"),
    ("borders", "margins"),
)
CHEST = (
    ("cardiac silhouette", "heart silhouette"),
    ("cardiac contour", "heart contour"),
    ("cardiac border", "heart border"),
    ("cardiac size", "heart size"),
    ("cardiac failure", "heart failure"),
    ("cardiomegaly", "cardiac enlargement"),
    ("pulmonary edema", "lung edema"),
    ("pulmonary nodule", "lung nodule"),
    ("pulmonary nodules", "lung nodules"),
    ("pulmonary mass", "lung mass"),
    ("pulmonary infection", "lung infection"),
    ("pulmonary parenchyma", "lung parenchyma"),
    ("pulmonary disease", "lung disease"),
    ("pleural effusion", "effusion of the pleural space"),
    ("pleural effusions", "effusions of the pleural space"),
    ("costophrenic angle", "costophrenic sulcus"),
    ("costophrenic angles", "costophrenic sulci"),
    ("chest radiograph", "chest x-ray", "chest film"),
    ("radiograph", "x-ray"),
)
ABDOMEN = (
    ("renal cyst", "kidney cyst"),
    ("renal mass", "kidney mass"),
    ("renal stone", "kidney stone"),
    ("renal calculi", "kidney stones"),
    ("renal failure", "kidney failure"),
    ("renal parenchyma", "kidney parenchyma"),
    ("hepatic lesion", "liver lesion"),
    ("hepatic lesions", "liver lesions"),
    ("hepatic cyst", "liver cyst"),
    ("hepatic parenchyma", "liver parenchyma"),
    ("gastric wall", "stomach wall"),
    ("splenic enlargement", "splenomegaly"),
    ("hepatic enlargement", "hepatomegaly"),
)
OTHER = (
    ("cutaneous lesion", "skin lesion"),
    ("cutaneous lesions", "skin lesions"),
    ("erythema", "redness"),
    ("erythematous", "reddened"),
    ("hemorrhage", "haemorrhage", "bleeding"),
    ("edema", "oedema"),
    ("tumor", "tumour", "neoplasm"),
    ("tumors", "tumours", "neoplasms"),
    ("malignant", "cancerous"),
    ("fracture", "break"),
    ("fractured", "broken"),
    ("calcification", "calcium deposit"),
    ("calcifications", "calcium deposits"),
    ("stenosis", "narrowing"),
    ("stenotic", "narrowed"),
    ("dilated", "widened"),
    ("dilatation", "widening"),
    ("intraocular pressure", "eye pressure"),
    ("hypertension", "high blood pressure"),
    ("ultrasound", "sonography"),
    ("ct scan", "computed tomography scan"),
)
# One way only: what stands on the right is the wider word.
DIRECTED = {
    "lesion": ("abnormality",),
    "lesions": ("abnormalities",),
    "visualized": ("seen",),
    "visualised": ("seen",),
}
# In a phantom's report alone: an optic disc is no circle, and a little effusion is another than a small one.
PHANTOM = (
    ("small", "little"),
    ("large", "big"),
    ("huge", "enormous"),
    ("medium", "mid-sized"),
    ("seen", "visible"),
    ("lies", "sits"),
    ("disc", "circle"),
)
PHANTOM_WORDS = frozenset(way for group in PHANTOM for way in group)

# Kept out of all training: the wording of the probes. No phrase on the right stands in the tables above.
HELD_OUT = {
    "small": ("small-sized",),
    "large": ("sizeable",),
    "huge": ("gigantic",),
    "medium": ("middling",),
    "seen": ("discernible",),
    "lies": ("is placed",),
    "disc": ("roundel",),
    "is enlarged": ("is larger than normal",),
    "markedly": ("notably",),
    "approximately": ("circa",),
    "adjacent to": ("beside",),
    "consistent with": ("in keeping with",),
    "demonstrates": ("depicts",),
    "shows": ("depicts",),
    "reveals": ("depicts",),
    "noted": ("detected",),
    "appears": ("seems",),
    "appear": ("seem",),
    "due to": ("owing to",),
    "therefore": ("consequently",),
    "evidence of": ("indication of",),
    "multiple": ("many",),
    "diffuse": ("generalized",),
    "focal": ("circumscribed",),
    "border": ("edge",),
    "borders": ("edges",),
    "round": ("rounded",),
    "image": ("scan",),
    "visible": ("discernible",),
    "dilated": ("distended",),
    "malignant": ("of a cancerous nature",),
    "tumor": ("neoplastic growth",),
    "pleural effusion": ("pleural fluid collection",),
    "pleural effusions": ("pleural fluid collections",),
    "cardiomegaly": ("enlargement of the heart",),
}


def builtin() -> dict[str, tuple[str, ...]]:
    """{phrase: its synonyms}, lower case: every table but the held-out one."""
    table = dict(DIRECTED)
    for group in (*REPORT, *CHEST, *ABDOMEN, *OTHER, *PHANTOM):
        for way in group:
            table[way] = (*table.get(way, ()), *(other for other in group if other != way))
    return table
