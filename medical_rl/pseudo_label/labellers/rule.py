"""The rule labeller: no model and no network. It reads each retrieved report for what is asked, and the reports vote.

It knows the lexicon, some anatomy and how reports deny things, and never sees the image: a finding that similar patients have is not
one that this patient has. It is the default at the tiny scale and a baseline, and is named "rule" wherever its labels are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from medical_rl.engine.vllm.requests import Work
from medical_rl.errors import unknown
from medical_rl.parsing.negation import stem
from medical_rl.pseudo_label.label import Asked, Label
from medical_rl.pseudo_label.report_reader.assertion import AFFIRMED, NEGATED
from medical_rl.pseudo_label.report_reader.questions import PRESENT, Query, query
from medical_rl.pseudo_label.report_reader.reading import SILENT, Said, read

RANK_WEIGHTS = ("reciprocal", "equal")
ON_SILENCE = ("abstain", "no")
_SAYS = {AFFIRMED: "yes", NEGATED: "no"}


def check(settings: Mapping[str, Any]) -> None:
    """None; UserError for a setting that is not known."""
    for name, known in (("rank_weights", RANK_WEIGHTS), ("on_silence", ON_SILENCE)):
        if settings[name] not in known:
            raise unknown(f"conf.labeller.{name}", settings[name], known)


def label(settings: Mapping[str, Any], asked: Sequence[Asked], work: Work | None = None) -> list[Label]:
    """The label of each question, in order; the same reports always give the same label."""
    check(settings)
    return [label_one(one, settings["rank_weights"], settings["on_silence"]) for one in asked]


def label_one(asked: Asked, rank_weights: str = "reciprocal", on_silence: str = "abstain") -> Label:
    """The vote of the reports: the answer with more weight, its share of all that was said as confidence; a tie abstains.

    rank_weights  reciprocal: the report of rank r weighs 1 / r; equal: all weigh 1
    on_silence    where no report says anything: abstain, or no for a question about findings, since what reports
                  do not mention is mostly not there; never without reports

    A doubtful report takes its share of the confidence and votes for neither.
    """
    asks = told_by_row(query(asked.sample.question), asked.sample.concepts)
    said = [read(asks, report.text) for report in asked.reports]
    ids = tuple(report.id for report in asked.reports)
    weights = [1 / rank if rank_weights == "reciprocal" else 1.0 for rank in range(1, len(said) + 1)]
    votes = {
        state: sum(w for w, one in zip(weights, said, strict=True) if one.state == state) for state in _SAYS
    }
    voted = sum(w for w, one in zip(weights, said, strict=True) if one.state)
    if not voted and said and on_silence == "no" and asks.findings:
        return Label(asked.sample.id, "yes" if asks.inverted else "no", conclusion(asks, "no"), ids)
    if votes[AFFIRMED] == votes[NEGATED]:
        return Label(asked.sample.id, None, retrieved=ids)
    state = max(votes, key=votes.get)
    used = tuple(id for id, one in zip(ids, said, strict=True) if one.state == state)
    rationale = " ".join([*_quotes(ids, said, state), conclusion(asks, _SAYS[state])])
    return Label(asked.sample.id, _SAYS[state], rationale, ids, votes[state] / voted, used=used)


def told_by_row(asks: Query, concepts: Sequence[str]) -> Query:
    """The query; where the lexicon knows nothing that is asked, it is about the row's one concept, whatever else the question says.

    >>> told_by_row(query("Series amber: is a dark band seen?"), ("dark band",)).content
    ('dark', 'band')
    """
    if asks.findings or asks.places or len(concepts) != 1:
        return asks
    return dataclasses.replace(
        asks, named=concepts[0], content=tuple(map(stem, concepts[0].casefold().split()))
    )


def _quotes(ids: Sequence[str], said: Sequence[Said], state: str) -> list[str]:
    """The sentences that decided, each with the id of its report."""
    agreeing = [
        (id, one) for id, one in zip(ids, said, strict=True) if one is not SILENT and one.state == state
    ]
    said_by = ((id, " ".join(one.sentences).replace('"', "'")) for id, one in agreeing)
    return [f'Report {id}: "{text}"' for id, text in said_by]


def conclusion(asks: Query, answer: str) -> str:
    """One sentence that says the answer in the words of the question, and names no report.

    >>> conclusion(query("Is there a pleural effusion?"), "no"), conclusion(query("Is the heart size normal?"), "yes")
    ('There is no pleural effusion.', 'The heart size is normal.')
    """
    there = (answer == "yes") != asks.inverted
    if asks.named:
        return f"There is {asks.named}." if there else f"There is no {asks.named}."
    if asks.findings:
        named = (" and " if there else " or ").join(asks.findings)
        return f"There is {named}." if there else f"There is no {named}."
    place = f"The {' and '.join(asks.places)}" if asks.places else "The picture"
    if asks.asks == PRESENT:
        return "What is asked about is seen." if there else "What is asked about is not seen."
    verb = "are" if len(asks.places) > 1 else "is"
    return f"{place} {verb} {asks.asks}." if there else f"{place} {verb} not {asks.asks}."
