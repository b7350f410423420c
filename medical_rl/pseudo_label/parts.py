"""The parts of the training rows: some calibrate, some give preference pairs, the rest are labelled.

Whole studies go to one part, of which none is trained or tested on twice. Which studies they are follows from
a hash of seed and study and nothing else, so the order of the rows does not matter. Gold answers are used in
the first two parts alone.
"""

import bisect
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from medical_rl.errors import UserError
from medical_rl.sample import Sample, group_key
from medical_rl.seeding import hash_order

Row = Sample | tuple[str, str]  # or (id, group); without a group a row is a study of its own
SHOWN = 5


@dataclass(frozen=True)
class CalibrationSplit:
    """Row ids, in the order the rows came.

    calibration  the questions
    unused       further questions of the same studies, which `per_study` leaves out: for neither use
    train        the rows of all other studies
    studies      how many studies the questions are about
    """

    calibration: tuple[str, ...]
    unused: tuple[str, ...]
    train: tuple[str, ...]
    studies: int


@dataclass(frozen=True)
class Parts:
    """Row ids in order: to calibrate with, to make preference pairs of (() without alignment), to label."""

    calibration: tuple[str, ...]
    pairs: tuple[str, ...]
    labelled: tuple[str, ...]


def training_parts(
    rows: Iterable[Sample], calibration: Mapping[str, Any], pairs_share: float, seed: int
) -> Parts:
    """The parts of `rows`, drawn with the seed by study. Raises UserError where one would be empty.

    calibration  conf.calibration: its share, rows, per_study and of_labelled
    pairs_share  share of the studies left by the calibration that give pairs; 0 for none

    With of_labelled one question of each labelled study that has several calibrates too, and gets no label: the
    labeller is not trained on labels, so that its answers to it stay those to a question it never saw, and one
    question a study keeps them independent. Why it is needed: at alpha 0.2 and p <= 0.02 (delta 0.1 over five k)
    a labeller with RULE's risk of 0.122 passes on 116 questions if at most 12 are wrong, which has a probability
    of 0.33; on 377 questions 56 may be, probability 0.95.

    >>> from scipy.stats import binom
    >>> [round(float(binom.cdf(most, n, 0.122)), 2) for n, most in ((116, 12), (377, 56))]
    [0.33, 0.95]
    """
    rows = list(rows)
    count = calibration["rows"]
    share = calibration["share"] if count is None else None
    split = set_apart(rows, seed, share=share, count=count, per_study=calibration["per_study"])
    study = _studies(rows)
    remaining = {study[name] for name in split.train}
    order = sorted(remaining, key=lambda group: hash_order(f"pairs/{seed}/{group}"))
    of_pairs = set(order[: round(pairs_share * len(order))])
    if len(of_pairs) == len(order):
        raise UserError(f"conf.alignment.share={pairs_share} leaves no study to label. Lower it.")
    pairs = [name for name in split.train if study[name] in of_pairs]
    labelled = [name for name in split.train if study[name] not in of_pairs]

    by_id = {row.id: row for row in rows}
    others = {"labelled": map(by_id.get, labelled), "preference pairs": map(by_id.get, pairs)}
    check_disjoint(map(by_id.get, split.calibration), others)
    also = _one_of_several(labelled, study, seed) if calibration["of_labelled"] else set()
    questions = also.union(split.calibration)
    return Parts(
        tuple(name for name in study if name in questions),
        tuple(pairs),
        tuple(name for name in labelled if name not in also),
    )


def _one_of_several(names: Iterable[str], study: Mapping[str, str], seed: int) -> set[str]:
    """One row, drawn with the seed, of each study that has several of `names`."""
    of_study: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: hash_order(f"calibration/{seed}/{name}")):
        of_study.setdefault(study[name], []).append(name)
    return {rows[0] for rows in of_study.values() if len(rows) > 1}


def set_apart(
    rows: Iterable[Row],
    seed: int,
    *,
    share: float | None = None,
    count: int | None = None,
    per_study: int | None = 1,
) -> CalibrationSplit:
    """Divide the training rows into calibration questions and the rest.

    share      part of the studies, between 0 and 1; at least one study is taken. Give this or `count`
    count      questions to have, at least: studies are taken until there are as many
    per_study  questions a study; None takes all. One a study makes the questions independent, which the
               guarantee needs

    Raises UserError for a share or count that leaves no study on one side, and for an id that is in two
    studies.

    >>> split = set_apart([(f"q{i}", f"study {i // 2}") for i in range(8)], seed=1, share=0.25)
    >>> len(split.calibration), len(split.unused), len(split.train), split.studies
    (1, 1, 6, 1)
    """
    if (share is None) == (count is None):
        raise UserError(
            f"Give either conf.calibration.share or conf.calibration.rows; they are {share} and {count}."
        )
    if share is not None and (isinstance(share, bool) or not 0 < share < 1):
        raise UserError(f"conf.calibration.share={share!r} must lie strictly between 0 and 1.")
    for name, value in (("rows", count), ("per_study", per_study)):
        if value is not None and (type(value) is not int or value < 1):
            raise UserError(
                f"conf.calibration.{name}={value!r} must be a whole number of at least 1, or null."
            )

    def place(name: str) -> int:  # an order of its own: other parts of a run draw by seed and study too
        return hash_order(f"calibration/{seed}/{name}")

    study_of = _studies(rows)
    questions: dict[str, list[str]] = {}
    for row in sorted(study_of, key=place):
        questions.setdefault(study_of[row], []).append(row)
    questions = {study: ids[:per_study] for study, ids in questions.items()}
    order = sorted(questions, key=place)
    if count is None:
        wanted = max(1, round(share * len(order)))
    else:
        totals = list(itertools.accumulate(len(questions[study]) for study in order))
        wanted = bisect.bisect_left(totals, count) + 1
    if wanted >= len(order):
        setting = f"share={share}" if count is None else f"rows={count}"
        raise UserError(
            f"conf.calibration.{setting} would set apart all {len(order)} studies of the training rows "
            f"({sum(map(len, questions.values()))} questions) and leave none to train on. Lower it, or give "
            "more training rows."
        )
    chosen = set(order[:wanted])
    calibration, unused, train = [], [], []
    for row, study in study_of.items():
        if study not in chosen:
            train.append(row)
        elif row in questions[study]:
            calibration.append(row)
        else:
            unused.append(row)
    return CalibrationSplit(tuple(calibration), tuple(unused), tuple(train), len(chosen))


def check_disjoint(calibration: Iterable[Row], others: Mapping[str, Iterable[Row]]) -> None:
    """Raise UserError for a study or row of `calibration` that `others` ({"train": rows, ...}) have too."""
    ours = _studies(calibration)
    for name, rows in others.items():
        theirs = _studies(rows)
        studies = set(ours.values()) & set(theirs.values())
        for noun, shared in (("studies", studies), ("rows", ours.keys() & theirs.keys())):
            if shared:
                shown = ", ".join(map(repr, sorted(shared)[:SHOWN]))
                raise UserError(
                    f"{len(shared):,} {noun} are both in the calibration questions and in {name}, such as "
                    f"{shown}. The calibrated risk would be that of rows already seen: set whole studies "
                    "apart, as medical_rl.pseudo_label.parts does."
                )


def _studies(rows: Iterable[Row]) -> dict[str, str]:
    """{row id: its study}, in order; a row that comes again (repeated to fill a batch) counts once."""
    study_of: dict[str, str] = {}
    for row in rows:
        if isinstance(row, Sample):
            name, study = row.id, group_key(row)
        else:
            name, study = row[0], row[1] or row[0]
        if study_of.setdefault(name, study) != study:
            raise UserError(
                f"Row {name!r} is in two studies, {study_of[name]!r} and {study!r}; ids must be unique."
            )
    return study_of
