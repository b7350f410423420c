"""What a yes/no question asks of a report: whether findings are there, or how a place is."""

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence

from medical_rl.parsing.text import stem
from medical_rl.pseudo_label.report_reader.assertion import NEGATED, assertion, clauses
from medical_rl.pseudo_label.report_reader.terms import PICTURE, PLACES, mentions

PRESENT, NORMAL, ABNORMAL = "present", "normal", "abnormal"
SIDES = frozenset(["left", "right"])
_PICTURE = (
    r"\b(?:on|in|from|by|per|to|with|of)\s+(?:the\s+|this\s+|an?\s+)?(?:provided\s+|patient'?s?'?\s+|given\s+)*"
    r"(?:chest\s+)?(?:x[- ]?rays?|radiographs?|images?|scans?|films?|(?:radiology\s+)?reports?)\b"
    r"(?:\s+(?:images?|reports?|scans?))?"
)
_GOOD = (
    r"normal(?:ly)?|unremarkable|clear|intact|within (?:the )?(?:normal )?limits|midline|healthy|satisfactory|well expanded|"
    r"fully expanded|well inflated|expanded|aerated|preserved"
)
_BAD = (
    r"abnormal(?:ly|it(?:y|ies))?|enlarge(?:d|ment)|large|prominen(?:t|ce)|widen(?:ed|ing)|increased?|decreased|reduced|"
    r"elevat(?:ed|ion)|low|blunt(?:ed|ing)|irregular(?:ity|ities)?|displaced|deviat(?:ed|ion)|shift(?:ed)?|"
    r"patholog(?:y|ies|ical)|diseases?|concerns?|issues?|problems?|damage|deform(?:ed|ity|ities)|flatten(?:ed|ing)|"
    r"thicken(?:ed|ing)|changes?|findings?|acute|tortuous|borderline|hyper(?:inflat|expand)ed|hypo(?:inflat|ventilat)ed|"
    r"anomal(?:y|ies)|outside"
)
GOOD, BAD = re.compile(rf"\b(?:{_GOOD})\b"), re.compile(rf"\b(?:{_BAD})\b")
_IN_ANY_QUESTION = (
    "is are was were be been being do does did has have had can could would should will may might there any "
    "a an the of in on at to for from by with as and or this that these those it its their his her patient "
    "patients image images picture scan film x ray xray radiograph chest report evidence sign signs "
    "indication indications indicate indicates indicated suggest suggests suggested show shows showing "
    "shown see seen visible noted present presence observed detected identified found reveal reveals "
    "revealed display demonstrate appear appears apparent according based per provided given depict confirm "
    "mention mentioned note visualized conclude we you one both also finding findings acute current clearly "
    "diagnosis diagnosed which what such some other area areas region suffer suffering"
)


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
            if mention.concept in PICTURE:
                continue
            kind = places if mention.concept in PLACES else findings
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
    stems: dict[str, None] = {}
    for words in parts:
        others = list(words)
        for mention in reversed(mentions(words)):
            del others[mention.start : mention.end]
        for word in others:
            if word not in SIDES and stem(word) not in _stems_in_any_question():
                stems[stem(word)] = None
    return tuple(stems)


@functools.cache
def _stems_in_any_question() -> frozenset[str]:
    return frozenset(map(stem, _IN_ANY_QUESTION.split()))
