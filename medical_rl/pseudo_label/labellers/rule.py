"""The rule labeller: no model, no network. It reads each report for what is asked, and they vote.

It knows the lexicon, some anatomy and how reports deny things, and never sees the image: a finding that
similar patients have is not one that this patient has. It is the default at the tiny scale and a baseline,
and is named "rule" wherever its labels are.
"""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from medical_rl.engine.vllm.requests import RoundContext
from medical_rl.errors import unknown
from medical_rl.parsing.assertion import AFFIRMED, NEGATED
from medical_rl.parsing.text import stem
from medical_rl.pseudo_label.label import Label, LabelQuestion
from medical_rl.pseudo_label.report_reader.questions import PRESENT, Query, query
from medical_rl.pseudo_label.report_reader.reading import read_report

CHOICES = {"rank_weights": ("reciprocal", "equal"), "on_silence": ("abstain", "no")}
_ANSWERS = {AFFIRMED: "yes", NEGATED: "no"}


def check(settings: Mapping[str, Any]) -> None:
    """Raise UserError for a setting that is not known."""
    for name, available in CHOICES.items():
        if settings[name] not in available:
            raise unknown(f"conf.labeller.{name}", settings[name], available)


def label(
    settings: Mapping[str, Any], questions: Sequence[LabelQuestion], work: RoundContext | None = None
) -> list[Label]:
    """The label of each question, in order; the same reports always give the same label."""
    check(settings)
    return [label_one(question, settings["rank_weights"], settings["on_silence"]) for question in questions]


def label_one(
    question: LabelQuestion, rank_weights: str = "reciprocal", on_silence: str = "abstain"
) -> Label:
    """The vote of the reports: the answer with more weight, confidence its share of all; a tie abstains.

    rank_weights  reciprocal: the report of rank r weighs 1 / r; equal: all weigh 1
    on_silence    where no report says anything: abstain, or no for a question about findings, since what
                  reports do not mention is mostly not there; never without reports

    A doubtful report takes its share of the confidence and votes for neither.
    """
    sample, ids = question.sample, question.report_ids
    asks = with_row_concept(query(sample.question), sample.concepts)
    verdicts = [read_report(asks, report.text) for report in question.reports]
    votes, total = collections.Counter(), 0.0
    for rank, verdict in enumerate(verdicts, 1):
        if verdict.state:
            weight = 1 / rank if rank_weights == "reciprocal" else 1.0
            votes[verdict.state] += weight
            total += weight
    if not total and verdicts and on_silence == "no" and asks.findings:
        return Label(sample.id, "yes" if asks.inverted else "no", conclusion(asks, "no"), ids)
    if votes[AFFIRMED] == votes[NEGATED]:
        return Label(sample.id, None, retrieved=ids)
    state = AFFIRMED if votes[AFFIRMED] > votes[NEGATED] else NEGATED
    used, sentences = [], []
    for report_id, verdict in zip(ids, verdicts, strict=True):
        if verdict.state == state:
            used.append(report_id)
            quoted = " ".join(verdict.sentences).replace('"', "'")
            sentences.append(f'Report {report_id}: "{quoted}"')
    sentences.append(conclusion(asks, _ANSWERS[state]))
    confidence = votes[state] / total
    return Label(sample.id, _ANSWERS[state], " ".join(sentences), ids, confidence, used=tuple(used))


def with_row_concept(asks: Query, concepts: Sequence[str]) -> Query:
    """The query; where the lexicon knows nothing of it, it is about the row's one concept alone.

    >>> with_row_concept(query("Series amber: is a dark band seen?"), ("dark band",)).content
    ('dark', 'band')
    """
    if asks.findings or asks.places or len(concepts) != 1:
        return asks
    content = tuple(map(stem, concepts[0].casefold().split()))
    return dataclasses.replace(asks, named=concepts[0], content=content)


def conclusion(asks: Query, answer: str) -> str:
    """One sentence that says the answer in the words of the question, and names no report.

    >>> conclusion(query("Is there a pleural effusion?"), "no")
    'There is no pleural effusion.'
    >>> conclusion(query("Is the heart size normal?"), "yes")
    'The heart size is normal.'
    """
    is_so = (answer == "yes") != asks.inverted
    if asks.named or asks.findings:
        joiner = " and " if is_so else " or "
        named = asks.named or joiner.join(asks.findings)
        return f"There is {named}." if is_so else f"There is no {named}."
    if asks.asks == PRESENT:
        return "What is asked about is seen." if is_so else "What is asked about is not seen."
    place = f"The {' and '.join(asks.places)}" if asks.places else "The picture"
    verb = "are" if len(asks.places) > 1 else "is"
    return f"{place} {verb} {asks.asks}." if is_so else f"{place} {verb} not {asks.asks}."
