"""What one report says to a question, sentence by sentence: yes, no, doubtful, or nothing."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence

from medical_rl.parsing.negation import stem
from medical_rl.pseudo_label.report_reader.anatomy import PICTURE, PLACES, alike, findings_of, kin
from medical_rl.pseudo_label.report_reader.assertion import (
    AFFIRMED,
    NEGATED,
    UNCERTAIN,
    assertion,
    clauses,
    sentences,
)
from medical_rl.pseudo_label.report_reader.questions import BAD, GOOD, NORMAL, PRESENT, SIDES, Query
from medical_rl.pseudo_label.report_reader.terms import Mention, mentions


@dataclasses.dataclass(frozen=True)
class Clause:
    """One clause: its words, what they mention, and the sentence it stands in."""

    words: tuple[str, ...]
    mentions: tuple[Mention, ...]
    sentence: str


@dataclasses.dataclass(frozen=True)
class Said:
    """What a report says: AFFIRMED, NEGATED or UNCERTAIN of what is asked (None: nothing), and the sentences that say so."""

    state: str | None
    sentences: tuple[str, ...] = ()


SILENT = Said(None)
Evidence = tuple[str, str]


def read(query: Query, report: str) -> Said:
    """What the report says to the question, its negation and its asking for normality taken into account: AFFIRMED is yes.

    >>> from medical_rl.pseudo_label.report_reader.questions import query
    >>> read(query("Is there an effusion?"), "Heart normal. No pneumothorax or effusion.")
    Said(state='negated', sentences=('No pneumothorax or effusion.',))
    >>> read(query("Is the heart of normal size?"), "Mild cardiomegaly.").state
    'negated'
    """
    told = list(parts(report))
    if query.findings:
        said = _best(_finding(told, finding, query.sides) for finding in query.findings)
    elif query.asks != PRESENT:
        said = _place(told, query.places, query.sides)
    else:
        said = _words(told, query)
    flip = query.asks == NORMAL or query.inverted
    return (
        Said({AFFIRMED: NEGATED, NEGATED: AFFIRMED}.get(said.state, said.state), said.sentences)
        if flip
        else said
    )


def parts(report: str) -> Iterator[Clause]:
    """The clauses of a report."""
    for sentence in sentences(report):
        for said in clauses(sentence):
            yield Clause(said, tuple(mentions(said)), sentence)


def _finding(told: Sequence[Clause], finding: str, sides: frozenset[str]) -> Said:
    """Of a finding: by its own name, by a kindred one, by what its absence follows from, in this order."""
    line = kin(finding)
    for names in ((finding,), line.names):
        if (said := _joined(_mentioned(told, names, sides))).state:
            return said
    denials = [*_mentioned(told, line.denied_by, frozenset()), *_states(told, line.places, frozenset())]
    denied = _joined(denials)
    if denied.state == NEGATED:
        return denied
    # An enlarged heart is cardiomegaly; an abnormal lung may be anything.
    return denied if denied.state and finding == "cardiomegaly" else SILENT


def _mentioned(told: Sequence[Clause], names: Sequence[str], sides: frozenset[str]) -> Iterator[Evidence]:
    """(state, sentence) of each mention; one that is on the other side alone says nothing of this one."""
    for clause in told:
        for mention in clause.mentions:
            if mention.concept in names:
                state = assertion(clause.words, mention.start, mention.end)
                if not (state == AFFIRMED and _is_elsewhere(clause, sides)):
                    yield state, clause.sentence


def _place(told: Sequence[Clause], places: tuple[str, ...], sides: frozenset[str]) -> Said:
    """Whether a place is abnormal, AFFIRMED, or normal, NEGATED; without places the whole picture.

    What is said of the place itself stands above findings in it: lungs with an old granuloma may be called clear.
    """
    if not places:
        named = {mention.concept for clause in told for mention in clause.mentions}
        seen = _joined(_mentioned(told, tuple(named - PLACES - PICTURE), sides))
        return seen if seen.state == AFFIRMED else _joined(_states(told, tuple(named & PLACES), sides))
    for named in (places, tuple(alike(places))):
        if (said := _joined(_states(told, named, sides))).state:
            return said
    return _joined(_mentioned(told, findings_of(places), sides))


def _states(told: Sequence[Clause], places: Sequence[str], sides: frozenset[str]) -> Iterator[Evidence]:
    """(AFFIRMED where a place is called abnormal, NEGATED where it is called normal, sentence) of each clause that says it.

    The nearest judging word counts, one that follows the place before one that leads it.
    """
    for clause in told:
        named = [mention for mention in clause.mentions if mention.concept in places]
        if not named or _is_elsewhere(clause, sides):
            continue
        for state in {min(near)[1] for place in named if (near := _distances(_judged(clause.words), place))}:
            yield state, clause.sentence


@functools.lru_cache(maxsize=64)
def _judged(said: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """(start, end, NEGATED for normal or AFFIRMED for abnormal) of each judging word of a clause that is not in doubt."""
    found, text = [], " ".join(said)
    for pattern, plainly, turned in ((GOOD, NEGATED, AFFIRMED), (BAD, AFFIRMED, NEGATED)):
        for match in pattern.finditer(text):
            start = text.count(" ", 0, match.start())
            end = start + match[0].count(" ") + 1
            state = assertion(said, start, end)
            if state != UNCERTAIN:
                found.append((start, end, plainly if state == AFFIRMED else turned))
    return found


def _distances(judged: Sequence[tuple[int, int, str]], place: Mention) -> list[tuple[tuple[int, int], str]]:
    """((1 where the word leads the place, words between), state) of each judging word."""
    return [
        ((0, start - place.end) if start >= place.end else (1, place.start - end), s)
        for start, end, s in judged
    ]


def _is_elsewhere(clause: Clause, sides: frozenset[str]) -> bool:
    """Whether a clause speaks of the other side alone than the question's."""
    there = sides and SIDES.intersection(clause.words)
    return bool(there and not sides & there)


def _words(told: Sequence[Clause], query: Query) -> Said:
    """Of what the lexicon does not know: a clause that holds the question's other words and its places speaks of it."""
    wanted = set(query.content)
    if not wanted:
        return SILENT

    def evidence() -> Iterator[Evidence]:
        for clause in told:
            at = [index for index, word in enumerate(clause.words) if stem(word) in wanted]
            if {stem(clause.words[index]) for index in at} == wanted:
                yield assertion(clause.words, min(at), max(at) + 1), clause.sentence

    return _joined(evidence())


def _joined(evidence: Iterator[Evidence] | Sequence[Evidence]) -> Said:
    """One statement of several: affirmed if any is, else doubtful if any is, else negated."""
    found = list(evidence)
    for state in (AFFIRMED, UNCERTAIN, NEGATED):
        if told := [sentence for own, sentence in found if own == state]:
            return Said(state, tuple(dict.fromkeys(told)))
    return SILENT


def _best(said: Iterator[Said]) -> Said:
    """Of several findings asked for together: any that is affirmed, else doubtful, else negated."""
    return _joined([(one.state, sentence) for one in said for sentence in one.sentences])
