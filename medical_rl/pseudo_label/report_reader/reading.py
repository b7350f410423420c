"""What a yes/no question asks, and what one report says to it: yes, no, doubtful, or nothing."""

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Sequence

from medical_rl.parsing.text import stem
from medical_rl.pseudo_label.report_reader import terms
from medical_rl.pseudo_label.report_reader.terms import (
    AFFIRMED,
    NEGATED,
    UNCERTAIN,
    assertion,
    clauses,
    mentions,
)

PRESENT, NORMAL, ABNORMAL = "present", "normal", "abnormal"
SIDES = frozenset(["left", "right"])
_PICTURE = (
    r"\b(?:on|in|from|by|per|to|with|of)\s+(?:the\s+|this\s+|an?\s+)?(?:provided\s+|patient'?s?'?\s+|given\s+)*"
    r"(?:chest\s+)?(?:x[- ]?rays?|radiographs?|images?|scans?|films?|(?:radiology\s+)?reports?)\b"
    r"(?:\s+(?:images?|reports?|scans?))?"
)
GOOD, BAD = (re.compile(rf"\b(?:{'|'.join(terms.VOCABULARY[name])})\b") for name in ("good", "bad"))


@dataclasses.dataclass(frozen=True)
class Query:
    """What is asked.

    findings  concepts whose presence is asked; () where a place's state is
    places    concepts that are places
    asks      PRESENT, NORMAL or ABNORMAL
    inverted  the question denies what it names ("Is there no effusion?"), so that yes means its absence
    sides     left, right, both or neither
    content   stems of the question's other words, for what the lexicon does not know
    named     what `content` is called, where the row itself names what is asked
    """

    findings: tuple[str, ...]
    places: tuple[str, ...]
    asks: str
    inverted: bool
    sides: frozenset[str]
    content: tuple[str, ...]
    named: str = ""


def query(question: str) -> Query:
    """What the question asks.

    >>> asks = query("Is there any evidence of pleural effusion on the chest X-ray?")
    >>> asks.findings, asks.asks, query("Is the heart size within normal limits?").asks
    (('pleural effusion',), 'present', 'normal')
    """
    parts = clauses(re.sub(_PICTURE, " ", question.casefold()))
    findings: dict[str, None] = {}  # each once, in order
    places: dict[str, None] = {}
    inverted = False
    sides: set[str] = set()
    for words in parts:
        sides |= SIDES.intersection(words)
        for mention in mentions(words):
            if mention.concept in terms.PICTURE:
                continue
            kind = places if mention.concept in terms.PLACES else findings
            kind[mention.concept] = None
            inverted |= assertion(words, mention.start, mention.end) == NEGATED
    state = PRESENT if findings else _state_asked(parts)
    is_denied = inverted and bool(findings)
    return Query(tuple(findings), tuple(places), state, is_denied, frozenset(sides), _content_stems(parts))


def judging_words(pattern: re.Pattern, words: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """(start, end, assertion) of each phrase of GOOD or BAD in a clause; start and end count words."""
    text = " ".join(words)
    for match in pattern.finditer(text):
        start = text.count(" ", 0, match.start())
        end = start + match[0].count(" ") + 1
        yield start, end, assertion(words, start, end)


def _state_asked(parts: list[tuple[str, ...]]) -> str:
    """NORMAL or ABNORMAL by the question's judging words, PRESENT where it has none.

    "without abnormalities" asks for NORMAL.
    """
    for words in parts:
        for _, _, state in judging_words(BAD, words):
            return NORMAL if state == NEGATED else ABNORMAL
    for words in parts:
        if GOOD.search(" ".join(words)):
            return NORMAL
    return PRESENT


def _content_stems(parts: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The stems of words that are neither a term of the lexicon, nor a side, nor found in any question."""
    common = _stems_in_any_question()
    stems: dict[str, None] = {}
    for words in parts:
        others = list(words)
        for mention in reversed(mentions(words)):
            del others[mention.start : mention.end]
        stems |= dict.fromkeys(stem(word) for word in others if word not in SIDES)
    return tuple(one for one in stems if one not in common)


@functools.cache
def _stems_in_any_question() -> frozenset[str]:
    return frozenset(map(stem, terms.VOCABULARY["in_any_question"].split()))


# fmt: skip

OPPOSITE = {AFFIRMED: NEGATED, NEGATED: AFFIRMED, UNCERTAIN: UNCERTAIN, None: None}


@dataclasses.dataclass(frozen=True)
class Clause:
    """One clause: its words, what they mention, and the sentence it stands in."""

    words: tuple[str, ...]
    mentions: tuple[terms.Mention, ...]
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

    >>> read_report(query("Is there an effusion?"), "Heart normal. No pneumothorax or effusion.")
    ReportVerdict(state='negated', sentences=('No pneumothorax or effusion.',))
    >>> read_report(query("Is the heart of normal size?"), "Mild cardiomegaly.").state
    'negated'
    """
    parts = list(report_clauses(report))
    if query.findings:
        of_each = [_finding(parts, finding, query.sides) for finding in query.findings]
        verdict = _verdict((one.state, sentence) for one in of_each for sentence in one.sentences)
    elif query.asks != PRESENT:
        verdict = _place(parts, query.places, query.sides)
    else:
        verdict = _verdict(_unknown_words(parts, set(query.content)))
    if query.asks == NORMAL or query.inverted:
        return dataclasses.replace(verdict, state=OPPOSITE[verdict.state])
    return verdict


def report_clauses(report: str) -> Iterator[Clause]:
    """The clauses of a report."""
    for sentence in terms.sentences(report):
        for words in clauses(sentence):
            yield Clause(words, tuple(mentions(words)), sentence)


def _finding(parts: Sequence[Clause], finding: str, sides: frozenset[str]) -> ReportVerdict:
    """Of a finding: by its own name, by a kindred one, by what its absence follows from, in this order."""
    line = terms.kin(finding)
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
        verdict = _verdict(_mentioned(parts, tuple(concepts - terms.PLACES - terms.PICTURE), sides))
        if verdict.state == AFFIRMED:
            return verdict
        return _verdict(_states(parts, tuple(concepts & terms.PLACES), sides))
    for names in (places, tuple(terms.places_alike(places))):
        verdict = _verdict(_states(parts, names, sides))
        if verdict.state:
            return verdict
    return _verdict(_mentioned(parts, terms.findings_of(places), sides))


def _states(parts: Sequence[Clause], places: Sequence[str], sides: frozenset[str]) -> Iterator[Evidence]:
    """(AFFIRMED for abnormal, NEGATED for normal, sentence) of each clause that judges one of the places."""
    for clause in parts:
        if _is_elsewhere(clause, sides):
            continue
        named = [mention for mention in clause.mentions if mention.concept in places]
        for state in {_nearest_judgement(clause.words, mention) for mention in named} - {None}:
            yield state, clause.sentence


def _nearest_judgement(words: tuple[str, ...], place: terms.Mention) -> str | None:
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
    good = [(start, end, OPPOSITE[state]) for start, end, state in judging_words(GOOD, words)]
    return [judgement for judgement in good + list(judging_words(BAD, words)) if judgement[2] != UNCERTAIN]


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
