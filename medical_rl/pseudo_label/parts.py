"""The three parts of the training rows, by study: some calibrate, some give preference pairs, the rest are labelled.

Gold answers are used in the first two parts alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from medical_rl.data.prepare.grouped import group_of
from medical_rl.errors import UserError
from medical_rl.pseudo_label.calibration.rows import Apart, check_apart, set_apart
from medical_rl.sample import Sample
from medical_rl.seeding import hash_order


@dataclass(frozen=True)
class Parts:
    """Row ids, in the order the rows came.

    calibration  questions of the calibration (`Apart` has their studies)
    pairs        rows that may become preference pairs; () where nothing is aligned
    labelled     rows that get pseudo-labels
    apart        what `calibration_rows` set apart
    """

    calibration: tuple[str, ...]
    pairs: tuple[str, ...]
    labelled: tuple[str, ...]
    apart: Apart


def parts(rows: Iterable[Sample], calibration: Mapping[str, Any], pairs_share: float, seed: int) -> Parts:
    """The parts of `rows`, drawn with the seed by study; UserError where one would be empty.

    calibration  conf.calibration: its share, rows and per_study
    pairs_share  share of the studies left by the calibration that give pairs; 0 for none
    """
    rows = list(rows)
    share = None if calibration["rows"] is not None else calibration["share"]
    apart = set_apart(rows, seed, share=share, count=calibration["rows"], per_study=calibration["per_study"])
    study = {row.id: group_of(row) for row in rows}
    left = sorted({study[name] for name in apart.train}, key=lambda group: _rank(group, seed))
    taken = set(left[: round(pairs_share * len(left))])
    if len(taken) == len(left):
        raise UserError(f"conf.alignment.share={pairs_share} leaves no study to label. Lower it.")
    pairs = tuple(name for name in apart.train if study[name] in taken)
    labelled = tuple(name for name in apart.train if study[name] not in taken)
    named = {"labelled": labelled, "preference pairs": pairs}
    check_apart(
        [(i, study[i]) for i in apart.calibration], {k: [(i, study[i]) for i in v] for k, v in named.items()}
    )
    return Parts(apart.calibration, pairs, labelled, apart)


def _rank(group: str, seed: int) -> int:
    """A place in an order of the pairs' own."""
    return hash_order(f"pairs/{seed}/{group}")
