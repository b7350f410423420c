"""What one report says to a question, sentence by sentence: yes, no, doubtful, or nothing."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence

from medical_rl.parsing.text import stem
from medical_rl.pseudo_label.report_reader.assertion import (
    AFFIRMED,
    NEGATED,
    UNCERTAIN,
    assertion,
    clauses,
    sentences,
)
from medical_rl.pseudo_label.report_reader.questions import (
    BAD,
    GOOD,
    NORMAL,
    PRESENT,
    SIDES,
    Query,
    judging_words,
)
from medical_rl.pseudo_label.report_reader.terms import (
    PICTURE,
    PLACES,
    Mention,
    findings_of,
    kin,
    mentions,
    places_alike,
)

OPPOSITE = {AFFIRMED: NEGATED, NEGATED: AFFIRMED, UNCERTAIN: UNCERTAIN, None: None}


@dataclasses.dataclass(frozen=True)
class Clause:
    """One clause: its words, what they mention, and the sentence it stands in."""

    words: tuple[str, ...]
    mentions: tuple[Mention, ...]
    sentence: str


@dataclasses.dataclass(frozen=True)
class ReportVerdict:
    """What a report says of what is asked (state None: nothing), and the sentences that say so."""

    state: str | None
    sentences: tuple[str, ...] = ()


SILENT = ReportVerdict(None)
Evidence = tuple[str, str]  # (state, sentence)


def read_report(query: Query, report: str) -> ReportVerdict:
    """What the report says: AFFIRMED is yes to the question, its negation and normality included.

    >>> from medical_rl.pseudo_label.report_reader.questions import query
    >>> read_report(query("Is there an effusion?"), "Heart normal. No pneumothorax or effusion.")
    ReportVerdict(state='negated', sentences=('No pneumothorax or effusion.',))
    >>> read_report(query("Is the heart of normal size?"), "Mild cardiomegaly.").state
    'negated'
    """
    parts = list(report_clauses(report))
    if query.findings:
        evidence = []
        for finding in query.findings:
            one = _finding(parts, finding, query.sides)
            for sentence in one.sentences:
                evidence.append((one.state, sentence))
        verdict = _verdict(evidence)
    elif query.asks != PRESENT:
        verdict = _place(parts, query.places, query.sides)
    else:
        verdict = _verdict(_unknown_words(parts, set(query.content)))
    if query.asks == NORMAL or query.inverted:
        return dataclasses.replace(verdict, state=OPPOSITE[verdict.state])
    return verdict


def report_clauses(report: str) -> Iterator[Clause]:
    """The clauses of a report."""
    for sentence in sentences(report):
        for words in clauses(sentence):
            yield Clause(words, tuple(mentions(words)), sentence)


def _finding(parts: Sequence[Clause], finding: str, sides: frozenset[str]) -> ReportVerdict:
    """Of a finding: by its own name, by a kindred one, by what its absence follows from, in this order."""
    line = kin(finding)
    for names in ((finding,), line.names):
        verdict = _verdict(_mentioned(parts, names, sides))
        if verdict.state:
            return verdict
    denials = list(_mentioned(parts, line.denied_by, frozenset()))
    denials += _states(parts, line.places, frozenset())
    denied = _verdict(denials)
    # An enlarged heart is cardiomegaly; an abnormal lung may be anything.
    if denied.state == NEGATED or finding == "cardiomegaly":
        return denied
    return SILENT


def _mentioned(parts: Sequence[Clause], names: Sequence[str], sides: frozenset[str]) -> Iterator[Evidence]:
    """The evidence of each mention; one that is on the other side alone says nothing of this one."""
    for clause in parts:
        for mention in clause.mentions:
            if mention.concept in names:
                state = assertion(clause.words, mention.start, mention.end)
                if not (state == AFFIRMED and _is_elsewhere(clause, sides)):
                    yield state, clause.sentence


def _place(parts: Sequence[Clause], places: tuple[str, ...], sides: frozenset[str]) -> ReportVerdict:
    """Whether a place is abnormal, AFFIRMED, or normal, NEGATED; without places the whole picture.

    What is said of the place itself stands above findings in it: lungs with an old granuloma may be called
    clear.
    """
    if not places:
        concepts = {mention.concept for clause in parts for mention in clause.mentions}
        verdict = _verdict(_mentioned(parts, tuple(concepts - PLACES - PICTURE), sides))
        if verdict.state == AFFIRMED:
            return verdict
        return _verdict(_states(parts, tuple(concepts & PLACES), sides))
    for names in (places, tuple(places_alike(places))):
        verdict = _verdict(_states(parts, names, sides))
        if verdict.state:
            return verdict
    return _verdict(_mentioned(parts, findings_of(places), sides))


def _states(parts: Sequence[Clause], places: Sequence[str], sides: frozenset[str]) -> Iterator[Evidence]:
    """(AFFIRMED for abnormal, NEGATED for normal, sentence) of each clause that judges one of the places."""
    for clause in parts:
        if _is_elsewhere(clause, sides):
            continue
        states = set()
        for mention in clause.mentions:
            if mention.concept in places:
                states.add(_nearest_judgement(clause.words, mention))
        for state in states - {None}:
            yield state, clause.sentence


def _nearest_judgement(words: tuple[str, ...], place: Mention) -> str | None:
    """What the nearest judging word says of the place, one after it before one ahead of it; else None."""
    distances = []
    for start, end, state in _judgements(words):
        if start >= place.end:
            distances.append((0, start - place.end, state))
        else:
            distances.append((1, place.start - end, state))
    return min(distances)[2] if distances else None


@functools.lru_cache(maxsize=64)
def _judgements(words: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """(start, end, NEGATED for normal or AFFIRMED for abnormal) of each judging word not in doubt."""
    judgements = []
    for start, end, state in judging_words(GOOD, words):
        if state != UNCERTAIN:
            judgements.append((start, end, OPPOSITE[state]))
    for start, end, state in judging_words(BAD, words):
        if state != UNCERTAIN:
            judgements.append((start, end, state))
    return judgements


def _is_elsewhere(clause: Clause, sides: frozenset[str]) -> bool:
    """Whether a clause speaks of the other side alone than the question's."""
    mentioned = SIDES.intersection(clause.words)
    return bool(sides and mentioned and not sides & mentioned)


def _unknown_words(parts: Sequence[Clause], content: set[str]) -> Iterator[Evidence]:
    """The evidence of each clause that holds all of the question's words that the lexicon does not know."""
    for clause in parts:
        positions, stems = [], set()
        for index, word in enumerate(clause.words):
            if stem(word) in content:
                positions.append(index)
                stems.add(stem(word))
        if content and stems == content:
            yield assertion(clause.words, min(positions), max(positions) + 1), clause.sentence


def _verdict(evidence: Iterable[Evidence]) -> ReportVerdict:
    """One statement of several: affirmed if any is, else doubtful if any is, else negated."""
    by_state: dict[str, dict[str, None]] = {}
    for state, sentence in evidence:
        by_state.setdefault(state, {})[sentence] = None  # each once, in order
    for state in (AFFIRMED, UNCERTAIN, NEGATED):
        if state in by_state:
            return ReportVerdict(state, tuple(by_state[state]))
    return SILENT
