"""The template generator, without a model: it asks what a row's metadata knows, and errs on purpose.

Each error is one of
    wrong         answer and rationale are of another picture: they fit each other and not this one
    unsound       the right answer, after the rationale of another
    contradicted  the right rationale, and then another answer
and is known as such in the row's meta ("is_error", "error", "truth"), which nothing but measurements may
read.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.errors import UserError, unknown
from medical_rl.loop.generators.questions import (
    AnswerBank,
    cases_of_facts,
    cases_of_row,
    check_types,
    has_facts,
)
from medical_rl.loop.generators.triplets import KINDS, Proposals, Triplet
from medical_rl.sample import Sample

MOST_WORDINGS = 3
ERRORS = ("wrong", "unsound", "contradicted")


def propose(settings: Mapping[str, Any], rows: Sequence[Sample], context: RoundContext) -> Proposals:
    """`per_image` triplets a row, an `error_rate` of them wrong; the same for the same (seed, round, row).

    Where a row has no facts, a wrong answer is one of its other choices or, without choices, another row's;
    the thought that leads to it is one of a row that has that answer. So `rows` count too. A free answer that
    no other row differs from is never wrong.
    """
    check(settings)
    wordings, types = int(settings["wordings"]), settings.get("question_types")
    bank = AnswerBank(row for row in rows if row.kind in KINDS)
    proposals = Proposals()
    for row in rows:
        rng = _row_rng(context.seed, context.round, row)
        if has_facts(row):
            cases = cases_of_facts(row, types, wordings, rng)
        elif row.kind in KINDS:
            cases = cases_of_row(row, bank, wordings, rng)
        else:
            proposals.add(row, [], [f"rows of kind {row.kind} are not asked about"])
            continue
        triplets = _with_errors(row, cases, settings, rng)
        proposals.add(row, list(itertools.islice(triplets, int(settings["per_image"]))))
    return proposals


def check(settings: Mapping[str, Any]) -> None:
    """Raise UserError for settings that could not work."""
    if not 0 <= settings["error_rate"] <= 1:
        raise UserError(f"conf.generator.error_rate={settings['error_rate']} is no share between 0 and 1.")
    if not 1 <= settings["wordings"] <= MOST_WORDINGS:
        raise UserError(
            f"conf.generator.wordings={settings['wordings']}: there are 1 to {MOST_WORDINGS} wordings."
        )
    for name, share in settings["errors"].items():
        if name not in ERRORS:
            raise unknown("kind of error", name, ERRORS)
        if share < 0:
            raise UserError(f"conf.generator.errors.{name}={share} is negative.")
    if not sum(settings["errors"].values()):
        raise UserError(
            "conf.generator.errors are all 0: at least one kind of error needs a share; for none, "
            "error_rate=0."
        )
    check_types(settings.get("question_types"))


def _with_errors(
    row: Sample, cases: Iterator[tuple[Triplet, Triplet | None]], settings: Mapping[str, Any], rng
) -> Iterator[Triplet]:
    """A triplet of each case with what is known of it: right, or at `error_rate` a drawn error."""
    kinds, weights = list(settings["errors"]), np.array(list(settings["errors"].values()), float)
    for right, wrong in cases:
        is_error = rng.random() < float(settings["error_rate"])
        kind = str(rng.choice(kinds, p=weights / weights.sum()))
        if not is_error or wrong is None:
            yield _labelled(row, right, right, "")
            continue
        triplet = _error_of_kind(kind, right, wrong)
        if triplet == right:
            # Some phantoms have one thought for all answers, and another's does not make it unsound.
            triplet, kind = wrong, "wrong"
        yield _labelled(row, triplet, right, kind)


def _error_of_kind(kind: str, right: Triplet, wrong: Triplet) -> Triplet:
    if kind == "unsound":
        return dataclasses.replace(right, rationale=wrong.rationale)
    if kind == "contradicted":
        return dataclasses.replace(wrong, rationale=right.rationale)
    return wrong


def _labelled(row: Sample, triplet: Triplet, right: Triplet, error: str) -> Triplet:
    """`triplet` with what is known of it. A row may itself be wrong on purpose; then its truth is another."""
    truth = right.answer if has_facts(row) else str(row.meta.get("truth", right.answer))
    known = {"truth": truth, "is_error": bool(error) or triplet.answer != truth, "error": error}
    return dataclasses.replace(triplet, known=triplet.known | known)


def _row_rng(seed: int, round: int, row: Sample) -> np.random.Generator:
    name = f"{seed}/{round}/{row.source}/{row.id}".encode()
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name).digest()[:8], "big"))
