"""Phantom studies with reports and yes/no questions, of known truth, for MEDFACT-R1 at a tiny scale.

Source: none, every picture and report is made here from a seed. Licence: that of this package.
One row: a 56 x 56 grey picture, question "Series K117: is there a bright disc?", answer "yes"; a report of
another study: "Series K117. There is no dark band. A bright disc stands out. We find no striped patch."
What the splits do not prove: anything about patients. They prove that retrieval, calibration, labelling and
training run, and by how much pseudo-labels from the reports of like studies are wrong.

A study has a picture with three findings that are there or not, and a short report. Studies come in series,
named by a code, each with a pattern of findings from which its studies depart with probability `flip`. So a
report of another study of the series tells more truth than not, as reports of like patients do, and one of
another series nothing. Rows are about a split's own series: what is learned by heart helps with no tested one.
The corpus has `library` reports of every series, whose studies no row asks about, the reports of a share
`reported` of the training studies, which a row must not be given for itself, and those of all validation and
test studies, which must never be retrieved.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from medical_rl.errors import UserError, unknown
from medical_rl.images import encode_png
from medical_rl.sample import Sample
from medical_rl.tiny.phantoms import SIDE, background, grey_levels, picture_rng, soft_disc

SPLITS = ("train", "val", "test")
SIZES = {"train": 1600, "val": 100, "test": 300}
SOURCE = "phantom_reports"
WORDINGS = ("is there a {}?", "is a {} seen?")
# Each large and in a part of the picture of its own.
FINDINGS = ("bright disc", "dark band", "striped patch")
# The letter of a split's series (K100), so that one split's do not depend on how many another has.
LETTERS = {"train": "K", "val": "V", "test": "X"}
SEEN = (
    "A {} is seen.", "There is a clear {}.", "We find one {}.", "The picture shows a {}.", "A {} stands out.",
    "Note the obvious {}.", "A {} can be made out well.", "Again present: {}.",
)  # fmt: skip
ABSENT = (
    "No {} is seen.", "There is no {}.", "We find no {}.", "The picture shows no {}.", "Without any {}.",
    "No sign of a {}.", "A {} is not present.", "No {} can be made out.",
)  # fmt: skip
CLOSING = (
    "Quality is good.", "Slight noise.", "Exposure varies a little.", "First of its kind.",
    "Nothing else of note.", "Background uneven.", "Grain as usual here.", "Otherwise plain.",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Study:
    """A study: its series, and which findings are there; `report` and `image` follow from `name`."""

    name: tuple
    series: str
    facts: dict[str, bool]

    @property
    def report(self) -> str:
        """About 25 words: the series, a sentence for each finding in any order, and a closing remark."""
        rng = picture_rng(*self.name, "report")
        sentences = []
        for finding, present in self.facts.items():
            sentences.append(str(rng.choice(SEEN if present else ABSENT)).format(finding))
        in_order = [sentences[i] for i in rng.permutation(len(sentences))]
        return " ".join([f"Series {self.series}."] + in_order + [str(rng.choice(CLOSING))])

    def image(self) -> np.ndarray:
        """A SIDE x SIDE picture in grey levels, place, size and contrast of each finding varied."""
        rng = picture_rng(*self.name, "image")
        picture = background(rng)
        for finding, draw in zip(FINDINGS, (_disc, _band, _stripes), strict=True):
            drawn = draw(rng)  # drawn from the stream even where it is absent: a finding moves no other one
            if self.facts[finding]:
                picture = picture + drawn
        return grey_levels(picture + 40)


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
    for index in range(_checked_sizes(sizes, per_study, per_series, library, reported, flip)[split]):
        number, question = divmod(index, per_study)
        pictured = _pictured_study(seed, split, number, per_series, flip)
        # Which finding comes first runs through all of them.
        finding = FINDINGS[(number + question) % len(FINDINGS)]
        wording = str(picture_rng(*pictured.name, "question", finding).choice(WORDINGS))
        present = pictured.facts[finding]
        answer = "yes" if present else "no"
        yield Sample(
            id=f"{SOURCE}/{seed}/{split}/{index}",
            source=SOURCE,
            question=f"Series {pictured.series}: {wording.format(finding)}",
            kind="yes_no",
            answer=answer,
            choices=("yes", "no"),
            images=(encode_png(pictured.image()),),
            group=f"{split}/{number}",
            split=split,
            concepts=(finding,),
            size=(SIDE, SIDE),
            meta={
                "truth": answer, "thought": thought(finding, present), "phantom": True,
                "series": pictured.series, "finding": finding, "facts": pictured.facts, "report": pictured.report,
            },
        )  # fmt: skip


def describe(
    source=None, *, seed: int = 0, sizes=None, per_study: int = 2, per_series: int = 1, library: int = 6,
    reported: float = 0.5, flip: float = 0.12,
) -> dict:  # fmt: skip
    """What the data card says of these phantoms."""
    _checked_sizes(sizes, per_study, per_series, library, reported, flip)
    alike = (1 - flip) ** 2 + flip**2
    notes = [
        "Phantom images drawn by code, with phantom reports written by code. They are not medical images.",
        "Studies of a series are alike and not equal: each finding departs from its series with probability "
        f"{flip:g}, so a report of another study of the series is right about {alike:.0%} of the findings.",
    ]
    card = {"source": SOURCE, "phantom": True, "licence": "drawn by this package"}
    return card | {"notes": notes, "seed": seed}


def reports(source=None, *, drops=None, **settings) -> Iterator[dict]:
    """The corpus as a corpus file has it: id, text, study, split; the settings are those of `corpus`."""
    for name, split, of_study in corpus(**settings):
        yield {"id": f"report {name}", "text": of_study.report, "study": name, "split": split}


def corpus(
    seed: int = 0, sizes=None, per_study: int = 2, per_series: int = 1, library: int = 6,
    reported: float = 0.5, flip: float = 0.12,
) -> Iterator[tuple[str, str, Study]]:  # fmt: skip
    """(study's name, split of its report, study) of every report; that a study has one is its own chance."""
    sizes = _checked_sizes(sizes, per_study, per_series, library, reported, flip)
    for split, size in sizes.items():
        studies = -(-size // per_study)
        for number in range(-(-studies // per_series)):
            for member in range(library):
                name = f"library/{split}/{number}/{member}"
                yield name, "train", study(seed, split, number, f"library/{member}", flip)
        for number in range(studies):
            pictured = _pictured_study(seed, split, number, per_series, flip)
            if split != "train" or picture_rng(*pictured.name, "reported").random() < reported:
                yield f"{split}/{number}", split, pictured


def thought(finding: str, present: bool) -> str:
    """What is seen, in words: "no dark band is seen"."""
    return f"{'a' if present else 'no'} {finding} is seen"


def study(seed: int, split: str, number: int, member: str, flip: float) -> Study:
    """The study `member` of series `number` of a split."""
    pattern = picture_rng(seed, "phantom_reports", split, "series", number).random(len(FINDINGS)) < 0.5
    name = (seed, "phantom_reports", split, number, member)
    flipped = picture_rng(*name).random(len(FINDINGS)) < flip
    facts = dict(zip(FINDINGS, (pattern != flipped).tolist(), strict=True))
    return Study(name, f"{LETTERS[split]}{100 + number}", facts)


def _pictured_study(seed: int, split: str, number: int, per_series: int, flip: float) -> Study:
    """Study `number` of those that a split's rows ask about."""
    series, member = divmod(number, per_series)
    return study(seed, split, series, f"asked/{member}", flip)


def _checked_sizes(
    sizes, per_study: int, per_series: int, library: int, reported: float, flip: float
) -> dict[str, int]:
    """The rows of each split.

    Raises UserError for an unknown split, and for settings by which nothing can be drawn.
    """
    if not 1 <= per_study <= len(FINDINGS):
        raise UserError(f"per_study={per_study}: a phantom study has {len(FINDINGS)} findings to ask about.")
    if per_series < 1 or library < 0:
        raise UserError(
            f"per_series={per_series}, library={library}: a series needs a study, "
            "and no fewer than 0 reports."
        )
    for name, share in (("reported", reported), ("flip", flip)):
        if not 0 <= share <= 1:
            raise UserError(f"{name}={share} is no share from 0 to 1.")
    sizes = dict(sizes or {})
    for name in sizes:
        if name not in SPLITS:
            raise unknown("phantom split", name, SPLITS)
    return SIZES | sizes


def _disc(rng) -> np.ndarray:
    """In the upper left."""
    centre = rng.uniform(12, 16, 2)
    return rng.uniform(90, 120) * soft_disc(centre, rng.uniform(9, 12))


def _stripes(rng) -> np.ndarray:
    """Upright, in the upper right."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    inside = (x > SIDE / 2 + rng.uniform(1, 4)) & (y < SIDE / 2 - rng.uniform(1, 4))
    return rng.uniform(60, 90) * inside * ((x + int(rng.integers(4))) // 2 % 2)


def _band(rng) -> np.ndarray:
    """Across the lower half."""
    y, _ = np.mgrid[0:SIDE, 0:SIDE]
    top = rng.uniform(SIDE / 2 + 3, SIDE - 22)
    return -rng.uniform(65, 85) * ((y > top) & (y < top + rng.uniform(16, 20)))
