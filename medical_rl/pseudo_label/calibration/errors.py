"""From labels to the 0/1 errors of a calibration, on the same questions for every k."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from medical_rl.errors import UserError
from medical_rl.pseudo_label.label import Label


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


def errors_by_k(gold: Mapping[str, str], labels: Mapping[int, Iterable[Label]]) -> Errors:
    """The errors of every k against `gold` ({question id: answer}).

    An abstention (an answer that could not be read is one) is an error. A failure of the labeller (an
    endpoint that is down) is none: its question is left out, and at every k, so that all are measured on the
    same ones. Raises ValueError for labels of other questions than `gold`, UserError where every question
    failed.
    """
    answers: dict[int, dict[str, str | None]] = {}
    failed_ids: set[str] = set()
    reasons: Counter[str] = Counter()
    for k, of_k in labels.items():
        answers[k] = {}
        for label in of_k:
            answers[k][label.id] = label.answer
            if label.failed is not None:
                failed_ids.add(label.id)
                reasons[label.failed] += 1
        differing = set(answers[k]) ^ set(gold)
        if differing:
            raise ValueError(
                f"The labels for k={k} are not those of the questions: {sorted(differing)[:5]} are in one "
                "only."
            )
    ids = tuple(name for name in gold if name not in failed_ids)
    if not ids:
        raise UserError(_all_failed(len(gold), reasons))
    by_k, abstained = {}, {}
    for k, given in answers.items():
        by_k[k] = tuple(int(_is_wrong(given[name], gold[name])) for name in ids)
        abstained[k] = [given[name] for name in ids].count(None)
    majority = Counter(_plain(gold[name]) for name in ids).most_common(1)[0][1]
    failed = tuple(name for name in gold if name in failed_ids)
    return Errors(by_k, ids, failed, abstained, majority / len(ids))


def _all_failed(questions: int, reasons: Counter[str]) -> str:
    reason = ": there are none (conf.calibration.share)."
    if reasons:
        reason = f", mostly: {reasons.most_common(1)[0][0]}."
    return f"The labeller failed on all {questions} calibration questions{reason}"


def _is_wrong(answer: str | None, gold: str) -> bool:
    return answer is None or _plain(answer) != _plain(gold)


def _plain(answer: str) -> str:
    return answer.strip().casefold()
