"""What a yes/no question asks of a report: whether findings are there, or whether a place is normal or abnormal."""

from __future__ import annotations

import dataclasses
import functools
import re

from medical_rl.parsing.negation import stem
from medical_rl.pseudo_label.report_reader.anatomy import PICTURE, PLACES
from medical_rl.pseudo_label.report_reader.assertion import NEGATED, assertion, clauses
from medical_rl.pseudo_label.report_reader.terms import mentions

PRESENT, NORMAL, ABNORMAL = "present", "normal", "abnormal"
SIDES = frozenset(["left", "right"])
_PICTURE = (
    r"\b(?:on|in|from|by|per|to|with|of)\s+(?:the\s+|this\s+|an?\s+)?(?:provided\s+|patient'?s?'?\s+|given\s+)*"
    r"(?:chest\s+)?(?:x[- ]?rays?|radiographs?|images?|scans?|films?|(?:radiology\s+)?reports?)\b(?:\s+(?:images?|reports?|scans?))?"
)
_GOOD = (
    r"normal(?:ly)?|unremarkable|clear|intact|within (?:the )?(?:normal )?limits|midline|healthy|satisfactory|well expanded|fully expanded|"
    r"well inflated|expanded|aerated|preserved"
)
_BAD = (
    r"abnormal(?:ly|it(?:y|ies))?|enlarge(?:d|ment)|large|prominen(?:t|ce)|widen(?:ed|ing)|increased?|decreased|reduced|elevat(?:ed|ion)|low|"
    r"blunt(?:ed|ing)|irregular(?:ity|ities)?|displaced|deviat(?:ed|ion)|shift(?:ed)?|patholog(?:y|ies|ical)|diseases?|concerns?|"
    r"issues?|problems?|damage|deform(?:ed|ity|ities)|flatten(?:ed|ing)|thicken(?:ed|ing)|changes?|findings?|acute|tortuous|borderline|"
    r"hyper(?:inflat|expand)ed|hypo(?:inflat|ventilat)ed|anomal(?:y|ies)|outside"
)
GOOD, BAD = re.compile(rf"\b(?:{_GOOD})\b"), re.compile(rf"\b(?:{_BAD})\b")
_IN_ANY_QUESTION = (
    "is are was were be been being do does did has have had can could would should will may might there any a an the of in on at to for from by "
    "with as and or this that these those it its their his her patient patients image images picture scan film x ray xray radiograph chest "
    "report evidence sign signs indication indications indicate indicates indicated suggest suggests suggested show shows showing shown "
    "see seen visible noted present presence observed detected identified found reveal reveals revealed display demonstrate appear appears "
    "apparent according based per provided given depict confirm mention mentioned note visualized conclude we you one both also finding "
    "findings acute current clearly diagnosis diagnosed which what such some other area areas region suffer suffering"
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

    >>> asked = query("Is there any evidence of pleural effusion on the chest X-ray?")
    >>> asked.findings, asked.asks, query("Is the heart size within normal limits?").asks
    (('pleural effusion',), 'present', 'normal')
    """
    said = clauses(re.sub(_PICTURE, " ", question.casefold()))
    named = [(words, m) for words in said for m in mentions(words) if m.concept not in PICTURE]
    findings = tuple(dict.fromkeys(m.concept for _, m in named if m.concept not in PLACES))
    places = tuple(dict.fromkeys(m.concept for _, m in named if m.concept in PLACES))
    inverted = any(assertion(words, m.start, m.end) == NEGATED for words, m in named)
    state = PRESENT if findings else _state_asked(said)
    sides = SIDES.intersection(word for words in said for word in words)
    return Query(findings, places, state, inverted and bool(findings), sides, _content(said))


def _state_asked(said: list[tuple[str, ...]]) -> str:
    """NORMAL or ABNORMAL by the question's judging words ("without abnormalities" asks for NORMAL), PRESENT where it has none."""
    for words in said:
        text = " ".join(words)
        for match in BAD.finditer(text):
            start = text.count(" ", 0, match.start())
            return NORMAL if assertion(words, start, start + match[0].count(" ") + 1) == NEGATED else ABNORMAL
    return NORMAL if any(GOOD.search(" ".join(words)) for words in said) else PRESENT


def _content(said: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The stems of words that are neither a term of the lexicon, nor a side, nor found in any question."""
    left = []
    for words in said:
        taken = {index for mention in mentions(words) for index in range(mention.start, mention.end)}
        left += [stem(word) for index, word in enumerate(words) if index not in taken and word not in SIDES]
    return tuple(dict.fromkeys(one for one in left if one not in _empty()))


@functools.cache
def _empty() -> frozenset[str]:
    return frozenset(map(stem, _IN_ANY_QUESTION.split()))
