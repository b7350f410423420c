"""IU-Xray: chest X-rays with reports from Indiana University (Open-i), asked about with yes or no.

Source: Demner-Fushman et al., JAMIA 2016, doi 10.1093/jamia/ocv080; XML and PNG files at openi.nlm.nih.gov, tables at
Kaggle (raddar/chest-xrays-indiana-university). Questions: RULE (Xia et al., EMNLP 2024). Split: R2Gen (Chen et al., 2020).
Licence: CC BY-NC-ND 4.0 (images and reports); RULE's repository is MIT.
One row, RULE's question 1: "Does the cardiomediastinal silhouette appear normal in the chest X-ray?", gold "yes", on
image CXR3030_IM-1405/0.png; its report begins "Normal cardiomediastinal silhouette." Removed words read "XXXX" and stay.
What the splits do not prove: there is no official one. RULE's 2,573 questions are a test file (587 studies, all of
R2Gen's test split); `splits=seeded` divides them 80/10/10 by study to train on some, so its scores do not compare with
papers that test on all; `splits=test` is theirs. A study stands for a patient: patients are not named. A language model
wrote questions and answers from the reports, never seeing an image: "no" often means "not mentioned".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medical_rl.data.drops import Drops
from medical_rl.data.prepare import command, fingerprint
from medical_rl.data.sources import files
from medical_rl.data_preprocess import question_rows, rule_questions
from medical_rl.data_preprocess import question_rows as question_options
from medical_rl.data_preprocess.iu_xray import openi, r2gen
from medical_rl.data_preprocess.iu_xray.images import VIEWS, IuImages
from medical_rl.data_preprocess.iu_xray.study_rows import normal_rows
from medical_rl.errors import UserError, unknown
from medical_rl.sample import Sample

SPLITS, splits_of, reads = question_options.SPLITS, question_options.splits_of, question_options.reads
ASK = ("questions", "normal")
WHAT = "It should hold RULE's question file (*.jsonl) and the images of Open-i, Kaggle or R2Gen."
NOTES = {
    "questions": (
        "There is no official split, and patients are not named: a study stands for a patient.",
        "Questions and answers were written by a language model from the reports; a finding not mentioned is a no.",
        'Words removed to protect patients read "XXXX", in some questions too.',
    ),
    "normal": (
        "There is no official split, and patients are not named: a study stands for a patient.",
        'A study is normal where its only indexing term is "normal"; the terms were given to the report, not the image.',
    ),
}


def rows(
    source, split: str, *, drops: Drops | None = None, ask: str = "questions", questions: str | list | None = None,
    images: str | None = None, view: str = "frontal", splits: str = "seeded", split_seed: int = 0,
    require_images: bool = True, doubtful: str = "drop", concepts: str = "lexicon",
) -> Iterator[Sample]:  # fmt: skip
    """The samples of one split, kind "yes_no"; the group is the study.

    ask        questions: RULE's; normal: one a study, whether it is abnormal, from its indexing terms
    questions  the question files, where not every .jsonl file of the source is meant
    images     the folder of the images, where it is not the source
    view       frontal, lateral or all: the images of a study, where a question's own file is not there
    the rest   see `data_preprocess.question_rows.Options`

    Raises UserError for files that cannot be used, and where no image is there though images are required.
    """
    options = question_options.Options(splits, split_seed, require_images, doubtful, concepts)
    drops = Drops() if drops is None else drops
    folder = files.source_folder(source, WHAT)
    if ask not in ASK:
        raise unknown("value of ask", ask, ASK)
    found = openi.studies(folder, drops) if ask == "normal" else {}
    listed = {uid: list(study.images) for uid, study in found.items()} or openi.listed(folder)
    where = IuImages(files.source_folder(images or source, WHAT), view, _published(folder, splits), listed)
    if ask == "normal":
        return normal_rows(found, split, where, options, drops)
    return question_rows.samples(
        rule_questions.question_files(folder, questions), split, where, options, drops
    )


def describe(
    source, *, ask: str = "questions", questions: str | list | None = None, images: str | None = None,
    view: str = "frontal", splits: str = "seeded", split_seed: int = 0, require_images: bool = True,
    doubtful: str = "drop", concepts: str = "lexicon",
) -> dict:  # fmt: skip
    """The facts for the data card: licence, DOI, the question files, what was repaired and what the splits are."""
    folder = files.source_folder(source, WHAT)
    if ask not in ASK:
        raise unknown("value of ask", ask, ASK)
    asked = rule_questions.question_files(folder, questions) if ask == "questions" else []
    notes = [*NOTES[ask], question_options.split_note(splits, split_seed, "study", "R2Gen's annotation")]
    if missing := openi.without_frontal(openi.views(folder)):
        notes.append(f"Studies of {openi.PROJECTIONS} without a frontal view: {missing:,}.")
    annotation = r2gen.find(folder) if splits == "published" else None
    return {
        "source": "Indiana University chest X-rays (Open-i)",
        "file": ", ".join(path.name for path in asked),
        "licence": "CC BY-NC-ND 4.0",
        "url": "https://openi.nlm.nih.gov/faq#collection",
        "doi": "10.1093/jamia/ocv080",
        "questions": {path.name: fingerprint.content(path) for path in asked},
        "altered": r2gen.read(annotation)[1] if annotation else [],
        "notes": notes,
    }


def reports(source, *, drops: Drops | None = None, images: str | None = None, **_) -> Iterator[dict]:
    """The reports of a retrieval corpus: id, text, study ("CXR3030"), split ("" where none is known).

    `source` is RULE's retriever file or R2Gen's annotation (JSON), or a folder (then `images` is looked into as well) that
    holds one of: RULE's files (*retriever*.json), annotation.json, Kaggle's tables, the XML. The last three hold the reports
    of studies that are tested on, too.
    """
    path = Path(source).expanduser()
    if not path.is_dir():
        yield from _annotated(path) if "annotation" in path.name else rule_questions.corpus(path, _study)
        return
    folders = [path, *([Path(images).expanduser()] if images else [])]
    if found := rule_questions.retriever_files(*folders):
        yield from (entry for file in found for entry in rule_questions.corpus(file, _study))
    elif annotation := next(
        (file for folder in folders if (file := folder / "annotation.json").is_file()), None
    ):
        yield from _annotated(annotation)
    elif studies := next(filter(openi.has_studies, folders), None):
        known = openi.studies(studies, Drops() if drops is None else drops).values()
        yield from (
            {"id": s.uid, "text": s.text, "study": f"CXR{s.uid}", "split": ""} for s in known if s.text
        )


def preferences(source) -> Iterator[dict]:
    """The preference pairs of RULE's alignment file; see `data_preprocess.rule_questions.preferences`."""
    return rule_questions.preferences(Path(source).expanduser(), _study)


def main(argv=None) -> int:
    """The exit code of preparing the set by hand; see `medical_rl.data.prepare.command`."""

    def add_options(parser):
        parser.add_argument("--ask", help=f"{', '.join(ASK)} (default: questions)")
        parser.add_argument("--view", help=f"{', '.join(VIEWS)} (default: frontal)")
        question_options.add(parser)

    return command.run("iu_xray", argv, add_options)


def _annotated(path: Path) -> Iterator[dict]:
    for entry in r2gen.read(path)[0]:
        yield {
            "id": entry["id"],
            "text": entry["report"],
            "study": _study(entry["id"]),
            "split": entry["split"],
        }


def _study(name: str) -> str:
    return f"CXR{openi.study_of(name)}"


def _published(folder: Path, splits: str) -> dict[str, str]:
    """{study: R2Gen's split}; {} where the split is ours."""
    if splits != "published":
        return {}
    if (annotation := r2gen.find(folder)) is None:
        raise UserError(
            f"splits=published needs R2Gen's annotation.json in {folder.absolute()}; or take splits=seeded, or test (all rows)."
        )
    return {_study(study): split for study, split in r2gen.splits(annotation).items()}
