"""LEXICON: the terms of radiology and ophthalmology that the offline extractor of concepts knows.

A concept maps to the other ways of writing it; plurals and hyphens need none of their own. To add one, write
it here. The names are the words a model would use, since mentioning them is what MEDFACT-R1 rewards.
"""

from __future__ import annotations

from medical_rl.data.lexicon_chest import CHEST

EYE = {
    "glaucoma": ("glaucomatous",),
    "optic nerve": ("optic nerve head",),
    "optic neuropathy": (),
    "optic disc": ("optic disk",),
    "cup-to-disc ratio": ("cup to disc ratio", "cup disc ratio", "cup to disk ratio", "c/d ratio"),
    "optic cup": ("cupping",),
    "neuroretinal rim": ("disc rim", "rim thinning"),
    "retinal nerve fiber layer": ("rnfl", "nerve fiber layer", "nerve fibre layer", "retinal nerve fibre layer"),
    "visual field defect": ("visual field loss", "field defect", "scotoma"),
    "visual field": ("mean deviation",),
    "visual acuity": (),
    "vision loss": ("loss of vision",),
    "intraocular pressure": ("iop", "eye pressure", "ocular hypertension"),
    "diabetic retinopathy": (),
    "retinopathy": (),
    "macular degeneration": ("amd", "armd"),
    "macular edema": ("macular oedema",),
    "macula": ("macular",),
    "fovea": ("foveal",),
    "drusen": (),
    "hemorrhage": ("haemorrhage", "hemorrhagic", "bleeding"),
    "exudate": (),
    "cotton wool spot": (),
    "microaneurysm": (),
    "retinal detachment": ("detached retina",),
    "retinal vessel": ("retinal vasculature", "retinal blood vessel"),
    "retina": ("retinal",),
    "vitreous": (),
    "cataract": (),
    "cornea": ("corneal",),
    "myopia": ("myopic",),
    "peripapillary atrophy": (),
    "atrophy": ("atrophic",),
    "dry eye": (),
}

DISEASES = {"diabetes": ("diabetic",), "hypertension": ("hypertensive",), "inflammation": ("inflammatory",)}

PICTURES = {
    "chest radiograph": ("chest x ray", "chest xray", "chest radiography", "chest film", "cxr"),
    "radiograph": ("x ray", "xray", "radiographic", "radiography"),
    "lateral view": ("lateral radiograph",),
    "frontal view": ("frontal radiograph", "pa view", "ap view"),
    "fundus image": ("fundus photograph", "slo fundus image", "fundus"),
}

LEXICON: dict[str, tuple[str, ...]] = {**CHEST, **EYE, **DISEASES, **PICTURES}
