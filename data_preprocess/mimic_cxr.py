"""MIMIC-CXR: chest X-rays with reports from Boston, asked about with yes or no; your own credentialed copy only.

Source: Johnson et al., Scientific Data 2019, doi 10.1038/s41597-019-0322-0; MIMIC-CXR-JPG at PhysioNet,
doi 10.13026/jsn5-t979. Questions: RULE (Xia et al., EMNLP 2024), 3,470 of them; ask its authors for the file, for it
quotes reports.
Licence: PhysioNet Credentialed Health Data License 1.5.0. Its data use agreement forbids sharing the data and sending
them to third parties: every row is `restricted`, nothing is downloaded or uploaded, and no remote judge or generator is
sent a row. The prepared files are copies of the data and fall under the same agreement.
One row, in its form only, for the data may not be shown: question "Is there a pleural effusion?", gold "no", image
files/p10/p1......./s5......./<id>.jpg.
What the splits do not prove: RULE's questions are a test file; `splits=seeded` divides them 80/10/10 by patient, so its
scores do not compare with papers that test on all (`splits=test`). `splits=published` is the official split, by
patient. A language model wrote questions and answers from the reports: "no" often means "not mentioned".
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__" and not __package__:
    # Run as a file, sys.path[0] is this folder; the package is beside it.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from medical_rl.data import command, files, question_options, question_rows, recipe, rule, rule_pairs
from medical_rl.data.drops import Drops
from medical_rl.data.mimic_files import SPLIT_TABLE, MimicFiles, official, patient_of, study_of
from medical_rl.sample import Sample

SPLITS, splits_of = question_options.SPLITS, question_options.splits_of
WHAT = (
    "It should be your own copy of MIMIC-CXR-JPG (files/p10/p......../s......../<id>.jpg) with a question file (*.jsonl); "
    "access is by credentials: https://physionet.org/content/mimic-cxr-jpg."
)
NOTES = (
    "Restricted: the data use agreement forbids sharing these rows and sending them to third parties; so too this folder.",
    "Questions and answers were written by a language model from the reports; a finding not mentioned is a no.",
)


def rows(
    source, split: str, *, drops: Drops | None = None, questions: str | list | None = None, images: str | None = None,
    splits: str = "seeded", split_seed: int = 0, require_images: bool = True, doubtful: str = "drop",
    concepts: str = "lexicon",
) -> Iterator[Sample]:  # fmt: skip
    """The samples of one split, kind "yes_no", restricted; the group is the patient ("p10000032").

    questions  the question files, where not every .jsonl file of the source is meant
    images     the folder that holds `files`, where it is not the source
    splits     seeded, or published: the official table mimic-cxr-2.0.0-split.csv beside the images; or test: all
    the rest   see `medical_rl.data.question_options.Options`
    """
    options = question_options.Options(splits, split_seed, require_images, doubtful, concepts)
    folder = files.source_folder(source, WHAT)
    copy = files.source_folder(images or source, WHAT)
    where = MimicFiles(copy, official(copy) if splits == "published" else {})
    return question_rows.samples(rule.question_files(folder, questions), split, where, options, drops)


def describe(
    source, *, questions: str | list | None = None, images: str | None = None, splits: str = "seeded",
    split_seed: int = 0, require_images: bool = True, doubtful: str = "drop", concepts: str = "lexicon",
) -> dict:  # fmt: skip
    """The facts for the data card: licence, DOI, the question files and what the splits are."""
    asked = rule.question_files(files.source_folder(source, WHAT), questions)
    copy = files.source_folder(images or source, WHAT)
    names = [question.image for path in asked for question in rule.questions(path)]
    return {
        "source": "MIMIC-CXR-JPG",
        "file": ", ".join(path.name for path in asked),
        "licence": "PhysioNet Credentialed Health Data License 1.5.0",
        "url": "https://physionet.org/content/mimic-cxr-jpg",
        "doi": "10.13026/jsn5-t979",
        "restricted": True,
        "questions": {path.name: recipe.content(path) for path in asked},
        "images": MimicFiles(copy, {}).state(names),
        "split_table": files.content(copy / SPLIT_TABLE) if splits == "published" else None,
        "notes": [*NOTES, question_options.split_note(splits, split_seed, "patient", SPLIT_TABLE)],
    }


def reads(source, **_) -> list:
    """Nothing that would be walked: the copy has 377,000 files, and `describe` tells the state of those asked about."""
    return []


def reports(source, **_) -> Iterator[dict]:
    """The reports of RULE's retriever file (JSON): id, text, study ("s50414267"), split; restricted like the images.

    `source` is that file, or a folder with such files (*retriever*.json). A report whose entry names its patient
    (subject_id, or p........ in a path) has the patient as its group, so that no report of a row's own patient is retrieved.
    """
    path = Path(source).expanduser()
    for file in [path] if not path.is_dir() else rule_pairs.retriever_files(path):
        yield from rule_pairs.corpus(file, study_of, patient_of)


def preferences(source) -> Iterator[dict]:
    """The preference pairs of RULE's alignment file; see `medical_rl.data.rule_pairs.preferences`."""
    return rule_pairs.preferences(Path(source).expanduser(), study_of)


def main(argv=None) -> int:
    """The exit code of preparing the set by hand; see `medical_rl.data.command`."""
    return command.run("mimic_cxr", argv, question_options.add)


if __name__ == "__main__":
    sys.exit(main())
