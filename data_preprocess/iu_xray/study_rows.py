"""From the studies of Open-i to samples: one question a study, whether it is abnormal, by its indexing terms.

For a user who has Kaggle's tables or the XML and no question file. The terms are a person's, given after the report.
"""

from __future__ import annotations

from collections.abc import Iterator

from medical_rl.data import concepts
from medical_rl.data.drops import Drops
from medical_rl.data.prepare import ahead
from medical_rl.data.prepare.grouped import grouped
from medical_rl.data_preprocess.iu_xray.images import IuImages
from medical_rl.data_preprocess.iu_xray.openi import Study
from medical_rl.data_preprocess.question_rows import ABSENT, NO_SPLIT, SHARES, SPLITS, Options
from medical_rl.errors import UserError, unknown
from medical_rl.images import image_size
from medical_rl.sample import Sample

QUESTION = "Does this chest X-ray show any abnormality?"
NOT_INDEXED = "its study was not indexed, so that it is neither normal nor abnormal"
ONLY_QUALITY = "its only indexing term is the quality of the image"
ONLY_DEVICE = "its only indexing terms are devices (a clip, a port, a line), which make a chest neither normal nor abnormal"
# The main headings, without what follows the slash, of things that people put into a body.
DEVICES = (
    "breast implants",
    "catheters, indwelling",
    "foreign bodies",
    "implanted medical device",
    "medical device",
    "stents",
    "surgical instruments",
    "sutures",
    "tube, inserted",
)


def normal_rows(
    studies: dict[str, Study], split: str, images: IuImages, options: Options, drops: Drops
) -> Iterator[Sample]:
    """The samples of one split, streamed; UserError at once if no image is there and images are required."""
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    names = [file for study in studies.values() for file, _ in study.images]
    if options.require_images and not any(map(images.path, names)):
        raise UserError(
            f"None of the {len(names):,} images of the {len(studies):,} studies is there, for instance "
            f"{names[0] if names else 'none'}. Name their folder with images (--images)."
        )
    if options.splits == "test":
        cut = dict.fromkeys(studies, "test")
    elif options.splits == "published":
        cut = {uid: images.splits.get(f"CXR{uid}") for uid in studies}
    else:
        cut = grouped(
            ((uid, answer(study) or "") for uid, study in studies.items()), SHARES, options.split_seed
        )
    return _stream(studies, split, images, options, cut, drops)


def answer(study: Study) -> str | None:
    """ "no" for a study indexed as normal, "yes" for one with findings, None for one whose terms tell neither.

    A device alone tells neither.

    >>> answer(Study("1", ("normal",))), answer(Study("2", ("Cardiomegaly/mild",))), answer(Study("3", ("No Indexing",)))
    ('no', 'yes', None)
    """
    terms = [term.strip().lower() for term in study.terms]
    if terms == ["normal"]:
        return "no"
    return "yes" if any(not _is_device(term) for term in _findings(terms)) else None


def _stream(studies, split, images, options, cut, drops) -> Iterator[Sample]:
    def sample(uid: str, drops: Drops) -> Sample | None:
        row, study = f"study {uid}", studies[uid]
        if cut[uid] is None:
            return drops.add(row, NO_SPLIT)
        if (gold := answer(study)) is None:
            return drops.add(row, _reason(study))
        if (loaded := _load(uid, row, images, options, drops)) is None:
            return None
        pictures, meta = loaded
        return Sample(
            id=f"iu_xray/{uid}",
            source="iu_xray",
            question=QUESTION,
            kind="yes_no",
            answer=gold,
            choices=("yes", "no"),
            images=pictures,
            group=f"CXR{uid}",
            split=split,
            concepts=concepts.of(QUESTION, options.concepts),
            size=image_size(pictures[0]) if pictures else None,
            meta={**meta, "terms": list(study.terms), "report": study.text},
        )

    return ahead.rows(sample, (uid for uid in studies if cut[uid] in (split, None)), drops)


def _load(uid: str, row: str, images: IuImages, options: Options, drops: Drops):
    if images.has(uid):
        return images.study(uid, row, drops)
    return drops.add(row, ABSENT) if options.require_images else ((), {})


def _reason(study: Study) -> str:
    """Why a study's terms tell neither."""
    if _findings([term.strip().lower() for term in study.terms]):
        return ONLY_DEVICE
    return ONLY_QUALITY if any(map(_is_quality, study.terms)) else NOT_INDEXED


def _findings(terms: list[str]) -> list[str]:
    return [term for term in terms if term not in ("normal", "no indexing") and not _is_quality(term)]


def _is_device(term: str) -> bool:
    return term.split("/")[0].strip() in DEVICES


def _is_quality(term: str) -> bool:
    return term.strip().lower().startswith("technical quality")
