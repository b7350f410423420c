"""Open-i's studies as samples: one question a study, whether it is abnormal, by its indexing terms.

For a user who has Kaggle's tables or the XML and no question file. The terms are a person's, given after the
report.
"""

from collections.abc import Iterator

from medical_rl.data import concepts
from medical_rl.data.prepare.sampling import split_by_group
from medical_rl.data.rows import Drops, parallel_map
from medical_rl.data_preprocess.iu_xray.studies import IuImages, Study
from medical_rl.data_preprocess.rule_questions import ABSENT, NO_SPLIT, SHARES, SPLITS, Options
from medical_rl.errors import UserError, check_known
from medical_rl.images import image_size
from medical_rl.sample import Sample

QUESTION = "Does this chest X-ray show any abnormality?"
NOT_INDEXED = "its study was not indexed, so that it is neither normal nor abnormal"
ONLY_QUALITY = "its only indexing term is the quality of the image"
ONLY_DEVICE = (
    "its only indexing terms are devices (a clip, a port, a line), which make a chest neither normal nor "
    "abnormal"
)
# The main headings, without what follows the slash, of things that people put into a body.
DEVICES = {
    "breast implants", "catheters, indwelling", "foreign bodies", "implanted medical device",
    "medical device", "stents", "surgical instruments", "sutures", "tube, inserted",
}  # fmt: skip
_QUALITY = "technical quality"


def normal_rows(
    studies: dict[str, Study], split: str, images: IuImages, options: Options, drops: Drops
) -> Iterator[Sample]:
    """The samples of one split, streamed; UserError at once if no image is there and images are required."""
    check_known("split", split, SPLITS)
    names = []
    for study in studies.values():
        names += [name for name, _ in study.images]
    if options.require_images and not any(map(images.files, names)):
        raise UserError(
            f"None of the {len(names):,} images of the {len(studies):,} studies is there, for instance "
            f"{names[0] if names else 'none'}. Name their folder with images (--images)."
        )
    if options.splits == "test":
        splits = dict.fromkeys(studies, "test")
    elif options.splits == "published":
        splits = {uid: images.splits.get(f"CXR{uid}") for uid in studies}
    else:
        classes = [(uid, answer(study) or "") for uid, study in studies.items()]
        splits = split_by_group(classes, SHARES, options.split_seed)

    def sample(uid: str, drops: Drops) -> Sample | None:
        row, study = f"study {uid}", studies[uid]
        if splits[uid] is None:
            return drops.add(row, NO_SPLIT)
        gold = answer(study)
        if gold is None:
            of_quality = any(term.startswith(_QUALITY) for term in _terms(study))
            not_found = ONLY_QUALITY if of_quality else NOT_INDEXED
            return drops.add(row, ONLY_DEVICE if _findings(study) else not_found)
        loaded = (), {}
        if images.has(uid):
            loaded = images.study(uid, row, drops)
        elif options.require_images:
            return drops.add(row, ABSENT)
        if loaded is None:
            return None
        pictures, meta = loaded
        return Sample(
            id=f"iu_xray/{uid}", source="iu_xray", question=QUESTION, kind="yes_no", answer=gold,
            choices=("yes", "no"), images=pictures, group=f"CXR{uid}", split=split,
            concepts=concepts.concepts_of(QUESTION, options.concepts),
            size=image_size(pictures[0]) if pictures else None,
            meta={**meta, "terms": list(study.terms), "report": study.text},
        )  # fmt: skip

    # A study without a split is told in every pass, and counted once.
    chosen = [uid for uid in studies if splits[uid] in (split, None)]
    return parallel_map(sample, chosen, drops)


def answer(study: Study) -> str | None:
    """ "no" for a study indexed as normal, "yes" with findings, None where terms or devices tell neither.

    >>> [answer(Study("1", (term,))) for term in ("normal", "Cardiomegaly/mild", "No Indexing")]
    ['no', 'yes', None]
    """
    if _terms(study) == ["normal"]:
        return "no"
    headings = {term.split("/")[0].strip() for term in _findings(study)}
    return "yes" if headings - DEVICES else None


def _terms(study: Study) -> list[str]:
    return [term.strip().lower() for term in study.terms]


def _findings(study: Study) -> list[str]:
    """The terms that name something seen."""
    empty = ("normal", "no indexing")
    return [term for term in _terms(study) if term not in empty and not term.startswith(_QUALITY)]
