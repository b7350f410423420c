"""Harvard-FairVLMed: SLO fundus images with clinical notes, asked about with yes or no.

Source: Luo et al., FairCLIP, CVPR 2024; access by request from the Harvard Ophthalmology AI Lab. Questions: RULE (Xia et
al., EMNLP 2024), 4,285 of them on 711 images.
Licence: CC BY-NC-ND 4.0, with an agreement of the person who asked for access: every row is `restricted`, and no remote
judge or generator is sent one.
One row, in its form only, for the data may not be shown: question "Does the patient show signs of glaucoma?", gold "yes",
image slo_fundus_00000.jpg, which is the array slo_fundus of data_00000.npz; age 62, gender 0, md -3.1.
What the splits do not prove: RULE's questions are a test file; `splits=seeded` divides them 80/10/10 by patient, so its
scores do not compare with papers that test on all (`splits=test`). 86 % of the answers are yes: always yes has accuracy
0.86 and F1 0.92, so read accuracy beside the majority rate and balanced accuracy. A language model wrote the questions
from the notes.
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
from medical_rl.data.fundus_npz import FundusFiles
from medical_rl.sample import Sample

SPLITS, splits_of, reads = question_options.SPLITS, question_options.splits_of, question_options.reads
WHAT = (
    "It should hold the folders Training, Validation and Test with data_XXXXX.npz, and RULE's question file (*.jsonl); "
    "access to the images is by request: https://ophai.hms.harvard.edu/datasets/harvard-fairvlmed10k."
)
NOTES = (
    "Restricted: access is by request, and no row may be sent to a service that the agreement does not cover.",
    "86 % of RULE's answers are yes: always yes has accuracy 0.86 and F1 0.92. Read the majority rate beside every score.",
    "Questions and answers were written by a language model from the notes, not from the images.",
)


def rows(
    source, split: str, *, drops: Drops | None = None, questions: str | list | None = None, images: str | None = None,
    splits: str = "seeded", split_seed: int = 0, require_images: bool = True, doubtful: str = "drop",
    concepts: str = "lexicon",
) -> Iterator[Sample]:  # fmt: skip
    """The samples of one split, kind "yes_no", restricted; the group is the patient (five digits).

    questions  the question files, where not every .jsonl file of the source is meant
    images     the folder of the npz files, where it is not the source
    splits     seeded, or published: the folder (Training, Validation, Test) of the image's npz file; or test: all
    the rest   see `medical_rl.data.question_options.Options`
    """
    options = question_options.Options(splits, split_seed, require_images, doubtful, concepts)
    folder = files.source_folder(source, WHAT)
    where = FundusFiles(files.source_folder(images or source, WHAT))
    return question_rows.samples(rule.question_files(folder, questions), split, where, options, drops)


def describe(
    source, *, questions: str | list | None = None, images: str | None = None, splits: str = "seeded",
    split_seed: int = 0, require_images: bool = True, doubtful: str = "drop", concepts: str = "lexicon",
) -> dict:  # fmt: skip
    """The facts for the data card: licence, the question files and what the splits are."""
    asked = rule.question_files(files.source_folder(source, WHAT), questions)
    return {
        "source": "Harvard-FairVLMed",
        "file": ", ".join(path.name for path in asked),
        "licence": "CC BY-NC-ND 4.0; access by request",
        "url": "https://ophai.hms.harvard.edu/datasets/harvard-fairvlmed10k",
        "restricted": True,
        "questions": {path.name: recipe.content(path) for path in asked},
        "notes": [*NOTES, question_options.split_note(splits, split_seed, "patient", "the dataset's folders")],
    }


def reports(source, *, drops: Drops | None = None, images: str | None = None, **_) -> Iterator[dict]:
    """The notes as a retrieval corpus: id, text, study (five digits), split; restricted like the images.

    `source` is RULE's retriever file (JSON), a folder with such files (*retriever*.json), or that of the npz files (or
    `images` is), of which those that cannot be used go to `drops`. The last hold the notes of patients tested on, too.
    """
    path = Path(source).expanduser()
    for file in [path] if path.is_file() else (found := rule_pairs.retriever_files(path)):
        yield from rule_pairs.corpus(file, _patient)
    if path.is_dir() and not found:
        for digits, split, note in FundusFiles(Path(images or path).expanduser()).notes(
            Drops() if drops is None else drops
        ):
            yield {"id": digits, "text": note, "study": digits, "split": split}


def preferences(source) -> Iterator[dict]:
    """The preference pairs of RULE's alignment file; see `medical_rl.data.rule_pairs.preferences`."""
    return rule_pairs.preferences(Path(source).expanduser(), _patient)


def main(argv=None) -> int:
    """The exit code of preparing the set by hand; see `medical_rl.data.command`."""
    return command.run("fairvlmed", argv, question_options.add)


def _patient(name: str) -> str:
    """The last five digits of an image's or a report's name, the name itself without any."""
    digits = "".join(mark if mark.isdigit() else " " for mark in name).split()
    return digits[-1] if digits else name


if __name__ == "__main__":
    sys.exit(main())
