"""LEXICON: the terms of radiology and ophthalmology that the offline extractor of concepts knows.

A concept has other ways of writing it; plurals and hyphens need none of their own. To add one, write it here.
The names are the words a model would use, since mentioning them is what MEDFACT-R1 rewards.
"""


def read_terms(text: str) -> dict[str, tuple[str, ...]]:
    """{concept: its other names} of "concept: name, name | concept | ...".

    >>> read_terms("effusion: fluid, free fluid | lesion")
    {'effusion': ('fluid', 'free fluid'), 'lesion': ()}
    """
    terms = {}
    for entry in " ".join(text.split()).split(" | "):
        concept, _, names = entry.partition(": ")
        terms[concept] = tuple(names.split(", ")) if names else ()
    return terms


CHEST = read_terms(
    """
pleural effusion: fluid in the pleural space, pleural fluid | effusion: fluid accumulation |
pneumothorax: pneumothoraces | collapsed lung: lung collapse, collapse of the lung | hemothorax: haemothorax |
pneumomediastinum | hydropneumothorax | pneumonia |
lung infection: pulmonary infection, chest infection, infection of the lung, infection in the lung |
infection: infectious process, infected | consolidation: consolidative | focal consolidation |
airspace disease: air space disease |
airspace opacity: airspace opacities, air space opacity, air space opacities |
opacity: opacities, opacification, opacified | infiltrate: infiltration | congestion: congested |
pulmonary vascular congestion: vascular congestion, pulmonary congestion, pulmonary venous congestion |
pulmonary edema: pulmonary oedema, lung edema | edema: oedema | congestive heart failure: chf |
heart failure: cardiac failure |
cardiomegaly: enlarged heart, heart enlargement, enlarged cardiac silhouette, cardiac enlargement |
cardiomediastinal silhouette: cardio mediastinal silhouette, cardiomediastinal contour |
cardiac silhouette: cardiac contour, heart contour, heart shadow, cardiac shadow |
heart size: size of the heart, cardiac size | heart: cardiac, cardio |
mediastinal widening: widened mediastinum, widening of the mediastinum, wide mediastinum |
mediastinum: mediastinal, mediastinal contour | hilum: hilar, hila, infrahilar, perihilar |
aorta: aortic, aortic arch | aortic calcification: calcified aorta, calcification of the aorta |
tortuous aorta: aortic tortuosity, tortuosity of the aorta | atherosclerosis: atherosclerotic |
pulmonary vasculature: pulmonary vascularity, pulmonary vessel, lung vasculature, vascular markings |
pulmonary artery: pulmonary arteries, pulmonary arterial | pulmonary embolism: pulmonary embolus |
atelectasis: atelectatic, atelectases | lobar collapse: lobe collapse, collapsed lobe |
lung volume: lung expansion, volume of the lung |
hyperinflation: hyperinflated, hyperexpanded, hyperexpansion, overinflated, over inflated |
hypoinflation: hypoinflated, underinflated, under inflated | bronchovascular markings: bronchovascular |
density: densities | respiratory distress |
copd: chronic obstructive pulmonary disease, chronic obstructive lung disease | emphysema: emphysematous |
interstitial lung disease: interstitial disease | interstitial markings: interstitial, interstitium |
fibrosis: fibrotic, pulmonary fibrosis | scarring: scar, cicatrix | bronchitis: bronchitic | bronchiectasis |
peribronchial cuffing: bronchial wall thickening | tuberculosis | sarcoidosis |
lung nodule: pulmonary nodule, nodule in the lung | nodule: nodular, nodularity |
lung mass: lung masses, pulmonary mass, pulmonary masses | mass: masses |
lung cancer: pulmonary malignancy, lung malignancy | tumor: tumour, neoplasm, malignancy, malignant, cancer |
metastasis: metastases, metastatic | lesion | cavity: cavitary, cavitation, cavities |
granuloma: granulomatous, granulomata | calcification: calcified, calcific, calcinosis |
lymphadenopathy: adenopathy, enlarged lymph node | lymph node |
pleural thickening: thickening of the pleura, pleural scarring | pleura: pleural, pleural space |
cardiophrenic angle | lung fissure: fissure | costophrenic angle: costophrenic sulcus, costophrenic recess |
hemidiaphragm: hemi diaphragm | diaphragm: diaphragmatic |
pneumoperitoneum: free intraperitoneal air, free air under the diaphragm | hiatal hernia: hiatus hernia |
trachea: tracheal | airway | rib fracture: fractured rib, broken rib, fracture of the rib |
fracture: fractured, broken bone | rib | thoracic spine: thoracic vertebra, thoracic vertebrae |
spine: spinal, vertebra, vertebrae, vertebral, vertebral body, vertebral bodies, thoracolumbar | spondylosis |
scoliosis | kyphosis |
degenerative changes: degenerative change, degenerative disease, degeneration, degenerative |
arthritis: arthritic | osteoporosis: osteoporotic | osteopenia: osteopenic |
bone: bony, osseous, skeletal, bony structure, osseous structure, skeleton | shoulder | humerus: humeral |
clavicle: collarbone | soft tissue | surgical clips: surgical clip |
sternotomy: sternal wire, sternotomy wire, median sternotomy |
coronary artery bypass graft: cabg, coronary artery bypass, coronary bypass |
pacemaker: icd lead, defibrillator | heart valve: prosthetic valve, valve replacement |
central venous catheter: central line, venous line, picc, picc line, jugular catheter, dialysis catheter |
catheter: port a cath | endotracheal tube: intubation, intubated, extubation, extubated |
nasogastric tube: enteric tube, feeding tube | chest tube | stent |
foreign body: foreign bodies, foreign object |
surgery: surgical, postoperative, post operative, postsurgical | trauma: traumatic, injury, injuries |
upper lobe | middle lobe | lower lobe | lingula: lingular | lung base: basilar, bibasilar |
lung apex: apical, biapical, lung apices | lung field |
lung disease: pulmonary disease, lung pathology, pulmonary pathology | lung: pulmonary |
thorax: thoracic, chest, chest wall | cardiopulmonary | abdomen: abdominal, upper quadrant
"""
)

EYE = read_terms(
    """
glaucoma: glaucomatous | optic nerve: optic nerve head | optic neuropathy | optic disc: optic disk |
cup-to-disc ratio: cup to disc ratio, cup disc ratio, cup to disk ratio, c/d ratio | optic cup: cupping |
neuroretinal rim: disc rim, rim thinning |
retinal nerve fiber layer: rnfl, nerve fiber layer, nerve fibre layer, retinal nerve fibre layer |
visual field defect: visual field loss, field defect, scotoma | visual field: mean deviation | visual acuity |
vision loss: loss of vision | intraocular pressure: iop, eye pressure, ocular hypertension |
diabetic retinopathy | retinopathy | macular degeneration: amd, armd | macular edema: macular oedema |
macula: macular | fovea: foveal | drusen | hemorrhage: haemorrhage, hemorrhagic, bleeding | exudate |
cotton wool spot | microaneurysm | retinal detachment: detached retina |
retinal vessel: retinal vasculature, retinal blood vessel | retina: retinal | vitreous | cataract |
cornea: corneal | myopia: myopic | peripapillary atrophy | atrophy: atrophic | dry eye
"""
)

DISEASES = read_terms(
    """
diabetes: diabetic | hypertension: hypertensive | inflammation: inflammatory
"""
)

PICTURES = read_terms(
    """
chest radiograph: chest x ray, chest xray, chest radiography, chest film, cxr |
radiograph: x ray, xray, radiographic, radiography | lateral view: lateral radiograph |
frontal view: frontal radiograph, pa view, ap view |
fundus image: fundus photograph, slo fundus image, fundus
"""
)

LEXICON: dict[str, tuple[str, ...]] = CHEST | EYE | DISEASES | PICTURES
