"""What one report says to a question, sentence by sentence: yes, no, doubtful, or nothing."""

import bisect
import dataclasses
import functools
import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from medical_rl.parsing.assertion import AFFIRMED, NEGATED, PAST, UNCERTAIN, assertion, clauses, sentences
from medical_rl.parsing.lexicon import Mention, mentions
from medical_rl.parsing.text import stem
from medical_rl.pseudo_label.report_reader import terms
from medical_rl.pseudo_label.report_reader.questions import (
    ADVISED,
    CHANGED,
    COURSES,
    NORMAL,
    OPPOSITE,
    PRESENT,
    Query,
    judging_words,
)  # fmt: skip

_MASKED = re.compile(r"xxxx|_+")
_REST, _JOINTS = frozenset(terms.VOCABULARY["rest"]), frozenset(["and", "or", "with", "versus", "vs"])


class Told(NamedTuple):
    """A concept in a clause: how the clause speaks of it, where it is, and of what size and age."""

    concept: str
    start: int
    end: int
    state: str
    where: Mapping[str, frozenset[str]]
    how: Mapping[str, frozenset[str]]


class Clause(NamedTuple):
    """One clause: its words, what they tell, the places they judge and the sentence it stands in."""

    words: tuple[str, ...]
    told: tuple[Told, ...]
    sentence: str

    @property
    def concepts(self) -> frozenset[str]:
        """The concepts that the clause names."""
        return frozenset(map(operator.itemgetter(0), self.told))


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
    parts = report_clauses(report)
    if query.asks in (CHANGED, ADVISED):
        verdict = _verdict(_courses(parts, query)) if query.course else SILENT
        if verdict.state or query.findings or query.course not in ("", "up"):
            return verdict
        verdict = _place(parts, query)  # what is normal has nothing new, and needs nothing
        return verdict if verdict.state == NEGATED else SILENT
    if query.findings:
        of_each = [_finding(parts, finding, query) for finding in query.findings]
        verdict = _verdict((one.state, sentence) for one in of_each for sentence in one.sentences)
    elif query.asks != PRESENT:
        verdict = _place(parts, query)
    else:
        verdict = _verdict(_unknown_words(parts, set(query.content)))
    if query.asks == NORMAL or query.inverted:
        return dataclasses.replace(verdict, state=OPPOSITE[verdict.state])
    if query.hedged and verdict.state == UNCERTAIN:
        return dataclasses.replace(verdict, state=AFFIRMED)
    return verdict


@functools.lru_cache(maxsize=512)
def report_clauses(report: str) -> tuple[Clause, ...]:
    """The clauses of a report's findings."""
    parts = []
    for sentence in sentences(report):
        for words in clauses(sentence):
            parts.append(Clause(words, _told(words), sentence))
    return tuple(parts)


@functools.lru_cache(maxsize=8192)  # reports say much in the same words
def _told(words: tuple[str, ...]) -> tuple[Told, ...]:
    """What a clause tells of each concept; its size and place are sought up to the findings beside it."""
    named = mentions(words)
    spans: list[list[int]] = []  # findings that follow each other at once are one ("calcified granuloma")
    for one in named:
        if terms.is_finding(one.concept) and spans and spans[-1][1] == one.start:
            spans[-1][1] = one.end
        elif terms.is_finding(one.concept):
            spans.append([one.start, one.end])
    values = functools.cache(lambda start, end, families: terms.values(words[start:end], families))
    told = []
    for one in named:
        start, end = _bounds(words, spans, one)
        where = {**values(0, len(words), "where"), **values(start, end, "where")}
        told.append(Told(*one, assertion(words, one.start, one.end), where, values(start, end, "how")))
    return tuple(told)


def _bounds(words: tuple[str, ...], spans: list[list[int]], mention: Mention) -> tuple[int, int]:
    """Where the words about a mention begin and end: at the findings beside it, or the "and" between."""
    after = bisect.bisect_right(spans, [mention.start, len(words)])
    is_in_span = after and spans[after - 1][1] >= mention.end
    before = after - 2 if is_in_span else after - 1
    begin, own_end = spans[after - 1] if is_in_span else (mention.start, mention.end)
    start, end = 0, len(words)
    if before >= 0:
        start = spans[before][1]
        start = max((index for index in range(start, begin) if words[index] in _JOINTS), default=start)
    if after < len(spans):
        end = spans[after][0]
        end = next((index for index in range(own_end, end) if words[index] in _JOINTS), end)
    return start, end


def _finding(parts: Sequence[Clause], finding: str, query: Query) -> ReportVerdict:
    """Of a finding: by its own names, by its special kinds, by what denies it, in this order."""
    line = terms.kin(finding)
    own = _verdict(_mentioned(parts, line.names, query))
    kinds = _verdict(
        evidence
        for evidence in (*_mentioned(parts, line.affirmed_by, query), *_made_of(parts, line.made_of, query))
        if evidence[0] != NEGATED
    )
    for verdict in (own, kinds):
        if verdict.state == AFFIRMED:
            return verdict
    if own.state or kinds.state:
        return own if own.state else kinds
    judged = _verdict(_states(parts, line.abnormal, query))
    if judged.state:  # an enlarged heart is cardiomegaly; an abnormal lung may be anything
        return judged
    denials = list(_mentioned(parts, (*line.denied_by, *line.affirmed_by), query))
    for state, sentence in _states(parts, (*line.places, *query.places), query, rest=True):
        if state == NEGATED:
            denials.append((state, sentence))
    for state, sentence in _mentioned(parts, line.opposites, query):
        if state == AFFIRMED:
            denials.append((NEGATED, sentence))
    denied = _verdict(denials)
    if denied.state is None:
        return _normal_picture(parts)
    return denied if denied.state == NEGATED else SILENT


def _mentioned(parts: Sequence[Clause], names: Sequence[str], query: Query) -> Iterator[Evidence]:
    """The evidence of each mention that is where the question asks."""
    for clause in parts:
        if not query.apart.isdisjoint(clause.concepts):
            continue
        for told in clause.told:
            if told.concept in names:
                yield from _evidence(clause, told, query)


def _evidence(clause: Clause, told: Told, query: Query) -> Iterator[Evidence]:
    """What one mention says; one elsewhere says nothing, one of another size or age denies it."""
    if told.state != PAST and not terms.conflict(query.where, told.where):
        if query.presumed and not query.how.keys() & told.how.keys():
            return
        is_other = told.state != NEGATED and terms.conflict(query.how, told.how)
        yield NEGATED if is_other else told.state, clause.sentence


def _made_of(parts: Sequence[Clause], made_of: Sequence[str], query: Query) -> Iterator[Evidence]:
    """The evidence of a finding told by another and its place: calcification, in a clause on the aorta."""
    for clause in parts:
        if made_of and clause.concepts.issuperset(made_of):
            for told in clause.told:
                if told.concept == made_of[0]:
                    yield from _evidence(clause, told, query)


def _place(parts: Sequence[Clause], query: Query) -> ReportVerdict:
    """Whether a place is abnormal, AFFIRMED, or normal, NEGATED; without places the whole picture.

    What is said of the place itself stands above findings in it: lungs with an old granuloma may be called
    clear.
    """
    places = query.places
    if not places:
        concepts = frozenset().union(*map(operator.attrgetter("concepts"), parts))
        verdict = _verdict(_mentioned(parts, tuple(concepts - terms.PLACES - terms.PICTURE), query))
        if verdict.state in (AFFIRMED, UNCERTAIN):
            return verdict
        return _verdict(_states(parts, tuple(concepts & terms.PLACES), query))
    for names in (places, tuple(terms.places_alike(places))):
        verdict = _verdict(_states(parts, names, query))
        if verdict.state:
            return verdict
    for evidence in (_mentioned(parts, terms.findings_of(places), query), _in_places(parts, query)):
        verdict = _verdict(evidence)
        if verdict.state:
            return verdict
    verdict = _verdict(_states(parts, tuple(terms.places_alike(places)), query, rest=True))
    if verdict.state == NEGATED:
        return verdict
    near = [one for place in places for one in terms.VOCABULARY["normal_with"].get(place, ())]
    verdict = _verdict(_states(parts, near, query))
    if verdict.state is None:
        return _normal_picture(parts)
    return verdict if verdict.state == NEGATED else SILENT


def _normal_picture(parts: Sequence[Clause]) -> ReportVerdict:
    """NEGATED where a report calls heart and lungs normal and tells of no finding: it has seen no other."""
    for clause in parts:
        if any(
            terms.is_finding(told.concept) and told.state in (AFFIRMED, UNCERTAIN) for told in clause.told
        ):
            return SILENT
    told = []
    for places in (terms.VOCABULARY["places"]["lungs"], terms.VOCABULARY["places"]["heart"]):
        verdict = _verdict(_states(parts, places, Query((), (), NORMAL)))
        if verdict.state != NEGATED:
            return SILENT
        told += [(NEGATED, sentence) for sentence in verdict.sentences]
    return _verdict(told)


def _in_places(parts: Sequence[Clause], query: Query) -> Iterator[Evidence]:
    """The findings that clauses tell of the very places, or of the zone of the lung, that are asked about."""
    zone = query.where.get("zone", frozenset())
    for clause in parts:
        is_named = not clause.concepts.isdisjoint(query.places)
        for told in clause.told:
            is_there = is_named or zone & told.where.get("zone", frozenset())
            if is_there and told.state == AFFIRMED and terms.is_finding(told.concept):
                yield from _evidence(clause, told, query)


def _states(
    parts: Sequence[Clause], places: Sequence[str], query: Query, rest: bool = False
) -> Iterator[Evidence]:
    """(AFFIRMED for abnormal, NEGATED for normal, sentence) of each clause that judges one of the places.

    rest  whether a part will do: "otherwise clear", the right lung where both are asked about
    """
    rest = rest or bool(query.apart)
    for clause in parts:
        states: dict[str, None] = {}
        for one in clause.told:
            if one.concept in places and not terms.conflict(query.where, one.where):
                state = _nearest_judgement(clause.words, one)
                if state and (state != NEGATED or rest or not _is_part(clause.words, one, query)):
                    states[state] = None
        is_other = query.how and terms.conflict(query.how, terms.values(clause.words, "how"))
        for state in states:
            yield NEGATED if state == AFFIRMED and is_other else state, clause.sentence


def _is_part(words: tuple[str, ...], place: Told, query: Query) -> bool:
    """Whether a clause speaks of what is left of a place, or of one side where neither is asked about."""
    is_one_side = len(place.where.get("side", ())) == 1 and "side" not in query.where
    return is_one_side or not _REST.isdisjoint(words)


def _nearest_judgement(words: tuple[str, ...], place: Told) -> str | None:
    """What the nearest judging word says of the place, one after it before one ahead of it; else None."""
    distances = []
    for start, end, state in _judgements(words):
        if start >= place.end:
            distances.append((0, start - place.end, state))
        else:
            distances.append((1, place.start - end, state))
    state = min(distances)[2] if distances else None
    is_masked = place.end < len(words) and _MASKED.fullmatch(words[place.end])
    return None if state == NEGATED and is_masked else state  # "The pulmonary XXXX are normal"


@functools.lru_cache(maxsize=4096)
def _judgements(words: tuple[str, ...]) -> list[tuple[int, int, str]]:
    return list(judging_words(words))


def _courses(parts: Sequence[Clause], query: Query) -> Iterator[Evidence]:
    """Whether what is asked has changed as the question says, by each clause that names it and a course."""
    names = {*query.findings, *terms.places_alike(query.places)}
    if not query.findings:
        names.update(terms.findings_of(query.places) if query.places else ())
    for finding in query.findings:
        names.update(terms.kin(finding).names)
    for clause in parts:
        told = [
            one for one in clause.told if one.concept in names and not terms.conflict(query.where, one.where)
        ]
        if not told and names:
            continue
        text = " ".join(clause.words)
        course = next((name for name, pattern in COURSES.items() if pattern.search(text)), None)
        if course:
            is_so = course == query.course or (query.course == "any" and course != "same")
            yield AFFIRMED if is_so else NEGATED, clause.sentence


def _unknown_words(parts: Sequence[Clause], content: set[str]) -> Iterator[Evidence]:
    """The evidence of each clause that holds all of the question's words that the lexicon does not know."""
    for clause in parts:
        positions, stems = [], set()
        for index, word in enumerate(clause.words):
            if stem(word) in content:
                positions.append(index)
                stems.add(stem(word))
        if content and stems == content:
            state = assertion(clause.words, min(positions), max(positions) + 1)
            if state != PAST:
                yield state, clause.sentence


def _verdict(evidence: Iterable[Evidence]) -> ReportVerdict:
    """One statement of several: affirmed if any is, else doubtful if any is, else negated."""
    by_state: dict[str, dict[str, None]] = {}
    for state, sentence in evidence:
        by_state.setdefault(state, {})[sentence] = None  # each once, in order
    for state in (AFFIRMED, UNCERTAIN, NEGATED):
        if state in by_state:
            return ReportVerdict(state, tuple(by_state[state]))
    return SILENT
