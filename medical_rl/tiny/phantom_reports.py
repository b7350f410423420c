"""Phantom images with written reports and yes/no questions, drawn by code with known truth, for MEDFACT-R1 at a tiny scale.

Source: none, every picture and report is made here from a seed. Licence: that of this package.
One row: a 56 x 56 grey picture, question "Series K117: is there a bright disc?", answer "yes"; a report of another
study: "Series K117. There is no dark band. A bright disc stands out. We find no striped patch. Slight noise."
What the splits do not prove: anything about patients. They prove that retrieval, calibration, labelling and training run,
and by how much pseudo-labels from the reports of like studies are wrong.

Rows are about studies of a split's own series (medical_rl/tiny/phantom_studies.py), so what is learned of one series by
heart helps with no tested one. The corpus has `library` reports of every series, whose studies no row asks about, the
reports of a share `reported` of the training studies, which a row must not be given for itself, and those of all
validation and test studies, which must never be retrieved.
"""

from __future__ import annotations

from collections.abc import Iterator

from medical_rl.errors import UserError, unknown
from medical_rl.images import encode_png
from medical_rl.sample import Sample
from medical_rl.tiny.drawing import SIDE, stream
from medical_rl.tiny.phantom_studies import FINDINGS, Study, study

SPLITS = ("train", "val", "test")
SIZES = {"train": 1600, "val": 100, "test": 300}
SOURCE = "phantom_reports"
ASKED = ("is there a {}?", "is a {} seen?")


def rows(
    source=None, split: str = "train", *, seed: int = 0, sizes=None, per_study: int = 2, per_series: int = 1,
    library: int = 6, reported: float = 0.5, flip: float = 0.12,
) -> Iterator[Sample]:  # fmt: skip
    """Samples of `split`, kind yes_no, about half of them yes; the group is the study.

    sizes       {split: rows}; SIZES where a split is not named
    per_study   questions about a study, each of another finding: 1 to 3
    per_series  studies of a series that rows ask about
    library     studies of a series that only have a report
    reported    share of training studies whose own report is in the corpus
    flip        probability that a finding of a study is not as its series has it
    """
    if split not in SPLITS:
        raise unknown("phantom split", split, SPLITS)
    _check(per_study, per_series, library, reported, flip)
    for index in range(_sizes(sizes)[split]):
        number, which = divmod(index, per_study)
        asked = _asked(seed, split, number, per_series, flip)
        # Which finding comes first runs through all of them.
        finding = FINDINGS[(number + which) % len(FINDINGS)]
        wording = str(stream(*asked.name, "question", finding).choice(ASKED)).format(finding)
        there = asked.facts[finding]
        answer = "yes" if there else "no"
        yield Sample(
            id=f"{SOURCE}/{seed}/{split}/{index}",
            source=SOURCE,
            question=f"Series {asked.series}: {wording}",
            kind="yes_no",
            answer=answer,
            choices=("yes", "no"),
            images=(encode_png(asked.image()),),
            group=f"{split}/{number}",
            split=split,
            concepts=(finding,),
            size=(SIDE, SIDE),
            meta={
                "truth": answer, "thought": thought(finding, there), "phantom": True, "series": asked.series,
                "finding": finding, "facts": asked.facts, "report": asked.report,
            },
        )  # fmt: skip


def describe(
    source=None, *, seed: int = 0, sizes=None, per_study: int = 2, per_series: int = 1, library: int = 6,
    reported: float = 0.5, flip: float = 0.12,
) -> dict:  # fmt: skip
    """What the data card says of these phantoms."""
    _check(per_study, per_series, library, reported, flip)
    _sizes(sizes)
    return {
        "source": SOURCE,
        "phantom": True,
        "licence": "drawn by this package",
        "notes": [
            "Phantom images drawn by code, with phantom reports written by code. They are not medical images.",
            f"Studies of a series are alike and not equal: each finding departs from its series with probability {flip:g}, so a "
            f"report of another study of the series is right about {(1 - flip) ** 2 + flip**2:.0%} of the findings.",
        ],
        "seed": seed,
    }


def reports(
    source=None, *, drops=None, seed: int = 0, sizes=None, per_study: int = 2, per_series: int = 1, library: int = 6,
    reported: float = 0.5, flip: float = 0.12,
) -> Iterator[dict]:  # fmt: skip
    """The corpus, as `medical_rl.data.prepare.corpus` takes it: id, text, study, split; without images, which no retriever looks at."""
    for name, split, found in corpus(seed, sizes, per_study, per_series, library, reported, flip):
        yield {"id": f"report {name}", "text": found.report, "study": name, "split": split}


def corpus(
    seed: int = 0, sizes=None, per_study: int = 2, per_series: int = 1, library: int = 6, reported: float = 0.5,
    flip: float = 0.12,
) -> Iterator[tuple[str, str, Study]]:  # fmt: skip
    """(study's name, split of its report, study) of every report there is; that a study is told of is the study's own chance."""
    _check(per_study, per_series, library, reported, flip)
    for split, rows_ in _sizes(sizes).items():
        studies = -(-rows_ // per_study)
        for number in range(-(-studies // per_series)):
            for member in range(library):
                yield (
                    f"library/{split}/{number}/{member}",
                    "train",
                    study(seed, split, number, f"library/{member}", flip),
                )
        for number in range(studies):
            asked = _asked(seed, split, number, per_series, flip)
            if split != "train" or stream(*asked.name, "reported").random() < reported:
                yield f"{split}/{number}", split, asked


def thought(finding: str, there: bool) -> str:
    """What is seen, in words.

    >>> thought("dark band", False)
    'no dark band is seen'
    """
    return f"{'a' if there else 'no'} {finding} is seen"


def _asked(seed: int, split: str, number: int, per_series: int, flip: float) -> Study:
    """Study `number` of those that a split's rows ask about."""
    series, member = divmod(number, per_series)
    return study(seed, split, series, f"asked/{member}", flip)


def _sizes(sizes) -> dict[str, int]:
    """The rows of each split; UserError for a split that there is not."""
    for name in (given := dict(sizes or {})):
        if name not in SPLITS:
            raise unknown("phantom split", name, SPLITS)
    return {**SIZES, **given}


def _check(per_study: int, per_series: int, library: int, reported: float, flip: float) -> None:
    if not 1 <= per_study <= len(FINDINGS):
        raise UserError(f"per_study={per_study}: a phantom study has {len(FINDINGS)} findings to ask about.")
    if per_series < 1 or library < 0:
        raise UserError(
            f"per_series={per_series}, library={library}: a series needs a study, and no fewer than 0 reports."
        )
    for name, share in (("reported", reported), ("flip", flip)):
        if not 0 <= share <= 1:
            raise UserError(f"{name}={share} is no share from 0 to 1.")
