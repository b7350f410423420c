"""From labels to the 0/1 errors of a calibration, on the same questions for every k."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from medical_rl.errors import UserError


class Labelled(Protocol):
    """A labeller's answer to one question; `answer` None with `failed` None is an abstention."""

    id: str
    answer: str | None
    failed: str | None


@dataclass(frozen=True)
class Errors:
    """What was measured.

    by_k           {k: (0 or 1, ...)}, in the order of `ids`
    ids            the questions that a labeller answered, or abstained from, at every k
    failed         the questions left out at every k because a labeller failed at one
    abstained      {k: abstentions}, each counted as an error in `by_k`
    majority_rate  share of the most frequent gold answer of `ids`: what always giving it would score
    """

    by_k: dict[int, tuple[int, ...]]
    ids: tuple[str, ...]
    failed: tuple[str, ...]
    abstained: dict[int, int]
    majority_rate: float


def errors_by_k(gold: Mapping[str, str], labels: Mapping[int, Iterable[Labelled]]) -> Errors:
    """The errors of every k against `gold` ({question id: answer}).

    An abstention (an answer that could not be read is one) is an error. A failure of the labeller (an endpoint that is down) is none:
    its question is left out, and at every k, so that all are measured on the same ones.
    ValueError for labels of other questions than `gold`; UserError where every question failed.
    """
    given = {k: {label.id: label for label in of_k} for k, of_k in labels.items()}
    for k, found in given.items():
        if differing := set(found) ^ set(gold):
            raise ValueError(
                f"The labels for k={k} are not those of the questions: {sorted(differing)[:5]} are in one only."
            )
    failed = tuple(i for i in gold if any(found[i].failed is not None for found in given.values()))
    ids = tuple(i for i in gold if i not in set(failed))
    if not ids:
        why = Counter(
            found[i].failed for found in given.values() for i in failed if found[i].failed is not None
        )
        raise UserError(
            f"The labeller failed on all {len(gold)} calibration questions"
            + (
                f", mostly: {why.most_common(1)[0][0]}."
                if why
                else ": there are none (conf.calibration.share)."
            )
        )
    answers = Counter(_same(gold[i]) for i in ids)
    return Errors(
        by_k={k: tuple(int(_wrong(found[i].answer, gold[i])) for i in ids) for k, found in given.items()},
        ids=ids,
        failed=failed,
        abstained={k: sum(found[i].answer is None for i in ids) for k, found in given.items()},
        majority_rate=answers.most_common(1)[0][1] / len(ids),
    )


def _wrong(answer: str | None, gold: str) -> bool:
    return answer is None or _same(answer) != _same(gold)


def _same(answer: str) -> str:
    return answer.strip().casefold()
