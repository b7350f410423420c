"""The questions set apart for the calibration: whole studies, of which none is trained or tested on.

Which studies they are follows from a hash of seed and study and nothing else, so the order of the rows does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from medical_rl.data.prepare.grouped import group_of
from medical_rl.errors import UserError
from medical_rl.sample import Sample
from medical_rl.seeding import hash_order

Row = Sample | tuple[str, str]  # or (id, group); without a group a row is a study of its own
SHOWN = 5


@dataclass(frozen=True)
class Apart:
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


def set_apart(
    rows: Iterable[Row],
    seed: int,
    *,
    share: float | None = None,
    count: int | None = None,
    per_study: int | None = 1,
) -> Apart:
    """The training rows divided into calibration questions and the rest.

    share      part of the studies, between 0 and 1; at least one study is taken. Give this or `count`
    count      questions to have, at least: studies are taken until there are as many
    per_study  questions a study; None takes all. One a study makes the questions independent, which the guarantee needs

    UserError for a share or count that leaves no study on one side, and for an id that is in two studies.

    >>> found = set_apart([(f"q{i}", f"study {i // 2}") for i in range(8)], seed=1, share=0.25)
    >>> len(found.calibration), len(found.unused), len(found.train), found.studies
    (1, 1, 6, 1)
    """
    _check(share, count, per_study)
    study_of = _studies(rows)
    members: dict[str, list[str]] = {}
    for row, study in study_of.items():
        members.setdefault(study, []).append(row)
    for ids in members.values():
        ids.sort(key=lambda row: _rank(seed, row))
    asked = {study: ids[:per_study] for study, ids in members.items()}
    order = sorted(asked, key=lambda study: _rank(seed, study))
    wanted = max(1, round(share * len(order))) if count is None else _until(order, asked, count)
    if wanted >= len(order):
        told = f"share={share}" if count is None else f"rows={count}"
        raise UserError(
            f"conf.calibration.{told} would set apart all {len(order)} studies of the training rows "
            f"({sum(map(len, asked.values()))} questions) and leave none to train on. Lower it, or give more training rows."
        )
    chosen = set(order[:wanted])
    questions = {row for study in chosen for row in asked[study]}
    return Apart(
        calibration=tuple(row for row in study_of if row in questions),
        unused=tuple(row for row, study in study_of.items() if study in chosen and row not in questions),
        train=tuple(row for row, study in study_of.items() if study not in chosen),
        studies=len(chosen),
    )


def check_apart(calibration: Iterable[Row], others: Mapping[str, Iterable[Row]]) -> None:
    """None; UserError naming a study, or a row, that is in `calibration` and in one of `others` ({"train": rows, ...}) too."""
    ours = _studies(calibration)
    studies = set(ours.values())
    for name, rows in others.items():
        theirs = _studies(rows)
        for what, shared in (
            ("studies", studies & set(theirs.values())),
            ("rows", ours.keys() & theirs.keys()),
        ):
            if shared:
                shown = ", ".join(repr(one) for one in sorted(shared)[:SHOWN])
                raise UserError(
                    f"{len(shared):,} {what} are both in the calibration questions and in {name}, such as {shown}. The calibrated risk "
                    "would be that of rows already seen: set whole studies apart, as medical_rl.pseudo_label.calibration.rows does."
                )


def _studies(rows: Iterable[Row]) -> dict[str, str]:
    """{row id: its study}, in order; a row that comes again (repeated to fill a batch) counts once."""
    found: dict[str, str] = {}
    for row in rows:
        name, study = (row.id, group_of(row)) if isinstance(row, Sample) else (row[0], row[1] or row[0])
        if found.setdefault(name, study) != study:
            raise UserError(
                f"Row {name!r} is in two studies, {found[name]!r} and {study!r}; ids must be unique."
            )
    return found


def _until(order: list[str], asked: Mapping[str, list[str]], count: int) -> int:
    """How many studies in `order` give `count` questions; all of them where they give fewer."""
    have = 0
    for number, study in enumerate(order, 1):
        have += len(asked[study])
        if have >= count:
            return number
    return len(order)


def _check(share: float | None, count: int | None, per_study: int | None) -> None:
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


def _rank(seed: int, name: str) -> int:
    """A place in an order of the calibration's own: other parts of a run draw by seed and study too, and not the same ones."""
    return hash_order(f"calibration/{seed}/{name}")
