"""IU-Xray: chest X-rays with reports from Indiana University (Open-i), asked about with yes or no.

Source: Demner-Fushman et al., JAMIA 2016, doi 10.1093/jamia/ocv080; XML and PNG files at openi.nlm.nih.gov,
tables at Kaggle (raddar/chest-xrays-indiana-university). Questions: RULE (Xia et al., EMNLP 2024). Split:
R2Gen (Chen et al., 2020).
Licence: CC BY-NC-ND 4.0 (images and reports); RULE's repository is MIT.
One row, RULE's question 1: "Does the cardiomediastinal silhouette appear normal in the chest X-ray?", gold
"yes", on image CXR3030_IM-1405/0.png; its report begins "Normal cardiomediastinal silhouette." Removed words
read "XXXX" and stay.
What the splits do not prove: there is no official one. RULE's 2,573 questions are a test file (587 studies,
all of R2Gen's test split); `splits=seeded` divides them 80/10/10 by study to train on some, so its scores do
not compare with papers that test on all; `splits=test` is theirs. A study stands for a patient: patients are
not named. A language model wrote questions and answers from the reports, never seeing an image: "no" often
means "not mentioned".

`ask=normal` is for a user who has Kaggle's tables or the XML and no question file: one question a study,
whether it is abnormal, by its indexing terms, which are a person's, given after the report.
"""

import functools
from collections.abc import Iterator
from pathlib import Path

from medical_rl.data import concepts
from medical_rl.data.prepare import command
from medical_rl.data.prepare.sampling import split_by_group
from medical_rl.data.rows import Drops, parallel_map
from medical_rl.data.sources import files
from medical_rl.data_preprocess import file_names, rule_questions
from medical_rl.data_preprocess.iu_xray import studies as study_files
from medical_rl.data_preprocess.iu_xray.studies import VIEWS, IuImages, Study
from medical_rl.data_preprocess.rule_questions import ABSENT, NO_SPLIT, SHARES, Options
from medical_rl.errors import UserError, check_known
from medical_rl.images import image_size
from medical_rl.sample import Sample

SPLITS, splits_of = rule_questions.SPLITS, rule_questions.splits_of
content_paths = rule_questions.content_paths
ASK = ("questions", "normal")
WHAT = "It should hold RULE's question file (*.jsonl) and the images of Open-i, Kaggle or R2Gen."
NO_OFFICIAL_SPLIT = "There is no official split, and patients are not named: a study stands for a patient."
NOTES = {
    "questions": (
        NO_OFFICIAL_SPLIT,
        "Questions and answers were written by a language model from the reports; a finding not mentioned "
        "is a no.",
        'Words removed to protect patients read "XXXX", in some questions too.',
    ),
    "normal": (
        NO_OFFICIAL_SPLIT,
        'A study is normal where its only indexing term is "normal"; the terms were given to the report, '
        "not the image.",
    ),
}
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


def rows(
    source, split: str, *, drops: Drops | None = None, ask: str = "questions",
    questions: str | list | None = None, images: str | None = None, view: str = "frontal",
    splits: str = "seeded", split_seed: int = 0, require_images: bool = True, doubtful: str = "drop",
    concepts: str = "lexicon",
) -> Iterator[Sample]:  # fmt: skip
    """The samples of one split, kind "yes_no"; the group is the study.

    ask        questions: RULE's; normal: one a study, whether it is abnormal, from its indexing terms
    questions  the question files, where not every .jsonl file of the source is meant
    images     the folder of the images, where it is not the source
    view       frontal, lateral or all: the images of a study, where a question's own file is not there
    the rest   see `data_preprocess.rule_questions.Options`

    Raises UserError for files that cannot be used, and where no image is there though images are required.
    """
    options = rule_questions.Options(splits, split_seed, require_images, doubtful, concepts)
    drops = drops or Drops()
    folder = files.source_folder(source, WHAT)
    check_known("value of ask", ask, ASK)
    studies = study_files.read_studies(folder, drops) if ask == "normal" else {}
    listed = {uid: list(study.images) for uid, study in studies.items()} or study_files.study_images(folder)
    published = {}  # {study: R2Gen's split}
    if splits == "published":
        annotation = study_files.find_annotation(folder)
        if annotation is None:
            raise UserError(
                f"splits=published needs R2Gen's annotation.json in {folder.absolute()}; or take "
                "splits=seeded, or test (all rows)."
            )
        entries, _ = study_files.read_annotation(annotation)
        published = {_group(entry["id"]): entry["split"] for entry in entries}
    copy = IuImages(files.source_folder(images or source, WHAT), view, published, listed)
    if ask == "normal":
        return normal_rows(studies, split, copy, options, drops)
    question_files = rule_questions.question_files(folder, questions)
    return rule_questions.samples(question_files, split, copy, options, drops)


def describe(
    source, *, ask: str = "questions", questions: str | list | None = None, splits: str = "seeded",
    split_seed: int = 0, **_,
) -> dict:  # fmt: skip
    """The facts for the data card: licence, DOI, question files, repairs and what the splits are."""
    folder = files.source_folder(source, WHAT)
    check_known("value of ask", ask, ASK)
    question_files = rule_questions.question_files(folder, questions) if ask == "questions" else []
    notes = [*NOTES[ask], rule_questions.split_note(splits, split_seed, "study", "R2Gen's annotation")]
    views = study_files.read_views(folder).values()
    missing = sum("frontal" not in dict(images).values() for images in views)
    if missing:
        notes.append(f"Studies of {study_files.PROJECTIONS} without a frontal view: {missing:,}.")
    annotation = study_files.find_annotation(folder) if splits == "published" else None
    return {
        "source": "Indiana University chest X-rays (Open-i)",
        "file": file_names(question_files),
        "licence": "CC BY-NC-ND 4.0",
        "url": "https://openi.nlm.nih.gov/faq#collection",
        "doi": "10.1093/jamia/ocv080",
        "questions": rule_questions.content_hashes(question_files),
        "altered": study_files.read_annotation(annotation)[1] if annotation else [],
        "notes": notes,
    }


def reports(source, *, drops: Drops | None = None, images: str | None = None, **_) -> Iterator[dict]:
    """The reports of a retrieval corpus: id, text, study ("CXR3030"), split ("" where none is known).

    `source` is RULE's retriever file or R2Gen's annotation (JSON), or a folder (then `images` is looked into
    as well) that holds one of: RULE's files (*retriever*.json), annotation.json, Kaggle's tables, the XML.
    The last three hold the reports of studies that are tested on, too.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        folders = [path, Path(images).expanduser()] if images else [path]
        retriever_files = rule_questions.retriever_files(*folders)
        annotations = [file for file in (folder / "annotation.json" for folder in folders) if file.is_file()]
    else:
        folders, annotated = [], "annotation" in path.name
        retriever_files, annotations = ([], [path]) if annotated else ([path], [])
    for file in retriever_files:
        yield from rule_questions.corpus(file, _group)
    if retriever_files:
        return
    if annotations:
        for entry in study_files.read_annotation(annotations[0])[0]:
            group, split = _group(entry["id"]), entry["split"]
            yield {"id": entry["id"], "text": entry["report"], "study": group, "split": split}
        return
    for folder in filter(study_files.has_studies, folders):
        for study in study_files.read_studies(folder, drops or Drops()).values():
            if study.text:
                yield {"id": study.uid, "text": study.text, "study": f"CXR{study.uid}", "split": ""}
        return


def _group(name: str) -> str:
    return f"CXR{study_files.study_of(name)}"


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


def add_options(parser) -> None:
    """Add the options of `rows` to a command line."""
    parser.add_argument("--ask", help=f"{', '.join(ASK)} (default: questions)")
    parser.add_argument("--view", help=f"{', '.join(VIEWS)} (default: frontal)")
    rule_questions.add_options(parser)


main = functools.partial(command.run, "iu_xray", add_options=add_options)
