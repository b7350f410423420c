"""What a yes/no question asks of a report: whether findings are there, how a place is, what has changed."""

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from medical_rl.parsing.assertion import AFFIRMED, NEGATED, UNCERTAIN, assertion, clauses
from medical_rl.parsing.lexicon import mentions
from medical_rl.parsing.text import stem
from medical_rl.pseudo_label.report_reader import terms

PRESENT, NORMAL, ABNORMAL, CHANGED, ADVISED = "present", "normal", "abnormal", "changed", "advised"
OPPOSITE = {AFFIRMED: NEGATED, NEGATED: AFFIRMED, UNCERTAIN: UNCERTAIN, None: None}
_PICTURE = re.compile(
    r"\b(?:on|in|from|by|per|to|with|of)\s+(?:the\s+|this\s+|an?\s+)?"
    r"(?:(?:provided|patient'?s?'?|given|current|present|recent|latest)\s+)*"
    r"(?:chest\s+)?(?:x[- ]?rays?|radiographs?|images?|scans?|films?|(?:radiology\s+)?reports?)\b"
    r"(?:\s+(?:images?|reports?|scans?))?"
)
_OPEN = re.compile(r"\s*(?:what|which|where|when|who|whom|whose|why|how)\b")  # no yes/no question
_APART = re.compile(
    r"\b(?:other than|aside from|apart from|except(?: for)?|besides|in addition to|beyond)\b([^,?]*)"
)
# Whether something is suggested is answered yes by a report that suggests it.
_HEDGED = re.compile(
    r"\b(?:suggest\w*|possib\w+|potential\w*|probab\w+|suspect\w*|suspicio\w+|could|questionable)\b"
)
# No report's findings tell what to do, how the picture was taken, or what is masked in the question.
_NOT_TOLD = re.compile(r"\b(?:communicated|available|determined|solely|obtained|taken|performed|xxxx)\b|___")
# What is normal needs nothing; what is not may need it or not.
_ADVICE = re.compile(r"\b(?:need(?:ed|s)?|requir\w+|recommend\w*|necessary|immediate\w*|life threatening)\b")
_COMPARED = re.compile(r"\b(?:since|compar\w+|previous\w*|prior|last|earlier|interval|past)\b")
COURSES = {
    "same": re.compile(
        r"\b(?:stable|unchanged|similar|persist\w*|(?:no|not|without)(?: \w+){0,3} chang\w*|same)\b"
    ),
    "up": re.compile(r"\b(?:increas\w+|worse\w*|larger|progress\w*|new|develop\w*|enlarging|grown?)\b"),
    "down": re.compile(r"\b(?:decreas\w+|improv\w+|smaller|resolv\w*|resolution|clear(?:ed|ing))\b"),
}
_NOT_PRESUMED = frozenset(
    ["patient", "patients", "report", "image", "picture", "study", "finding", "findings", "result", "results"]
)
SHORT = 5  # words between "Is the" and the finding
_ANY_COURSE = re.compile(r"\b(?:chang\w*|differ\w*|development)\b")
_JUDGING = [
    (state, re.compile(rf"\b(?:{'|'.join(terms.VOCABULARY[name])})\b"))
    for name, state in (("borderline", UNCERTAIN), ("bad", AFFIRMED), ("good", NEGATED))
]
_WEAK = frozenset(["finding", "findings", "change", "changes"])


@dataclasses.dataclass(frozen=True)
class Query:
    """What is asked.

    findings  concepts whose presence is asked; () where a place's state is
    places    concepts that are places
    asks      PRESENT, NORMAL, ABNORMAL, CHANGED since an earlier picture, or ADVISED (must anything be done)
    inverted  the question denies what it names ("Is there no effusion?"), so that yes means its absence
    where, how  side, zone, bone; size, age: {family: values} that the question names (vocabulary.yaml)
    content   stems of the question's other words, for what the lexicon does not know
    named     what `content` is called, where the row itself names what is asked
    course    of a CHANGED question: same, up, down, or any change
    hedged    whether the possibility is asked, so that a doubt is a yes
    presumed  what is asked of is taken to be there ("Is the nodule new?"): its size or age is asked
    apart     concepts that the question leaves aside ("other than the nodule")
    """

    findings: tuple[str, ...]
    places: tuple[str, ...]
    asks: str
    inverted: bool = False
    where: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    how: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    content: tuple[str, ...] = ()
    named: str = ""
    course: str = ""
    hedged: bool = False
    presumed: bool = False
    apart: frozenset[str] = frozenset()


@functools.lru_cache(maxsize=4096)
def query(question: str) -> Query:
    """What the question asks.

    >>> asks = query("Is there any evidence of pleural effusion on the chest X-ray?")
    >>> asks.findings, asks.asks, query("Is the heart size within normal limits?").asks
    (('pleural effusion',), 'present', 'normal')
    """
    text = question.casefold()
    if _OPEN.match(text):
        return Query((), (), PRESENT)
    aside = _APART.search(text)
    apart = (
        frozenset(one.concept for part in clauses(aside[1]) for one in mentions(part))
        if aside
        else frozenset()
    )
    parts = clauses(_PICTURE.sub(" ", _APART.sub(" ", text)))
    findings: dict[str, None] = {}  # each once, in order
    places: dict[str, None] = {}
    inverted = False
    everything = list(itertools.chain.from_iterable(parts))
    for words in parts:
        for mention in mentions(words):
            if mention.concept in terms.PICTURE:
                continue
            kind = places if mention.concept in terms.PLACES else findings
            kind[mention.concept] = None
            inverted |= assertion(words, mention.start, mention.end) == NEGATED
    state, course = PRESENT if findings else _state_asked(parts), ""
    if _COMPARED.search(text):
        courses = [name for name, pattern in COURSES.items() if pattern.search(text)]
        course = "any" if _ANY_COURSE.search(text) else courses[0] if courses else ""
    if course:
        state = CHANGED
    elif _NOT_TOLD.search(text):
        return Query((), (), PRESENT)
    elif _ADVICE.search(text):
        return Query((), (), ADVISED)
    content = _content_stems(parts)
    how = terms.values(everything, "how")
    presumed = any(map(_presumes, parts[:1])) and not inverted
    if (
        presumed and content and len(findings) == 1 and not course and not how
    ):  # something else of it is asked, of which nothing is known here
        return Query((), (), PRESENT)
    return Query(
        tuple(findings), tuple(places), state, inverted and bool(findings) and not course,
        terms.values(everything, "where"), how, content, course=course, presumed=presumed and bool(how),
        hedged=bool(_HEDGED.search(text)), apart=apart,
    )  # fmt: skip


def _presumes(words: tuple[str, ...]) -> bool:
    """Whether a question takes its finding to be there, as in "Is the small nodule new?"."""
    named = mentions(words)
    asks = words[0] in ("is", "are", "was", "were", "has", "have", "does", "do")
    is_definite = len(words) > 1 and words[1] in ("the", "these", "this", "those")
    if not asks or not is_definite or not named or not terms.is_finding(named[0].concept):
        return False
    return named[0].start <= SHORT and _NOT_PRESUMED.isdisjoint(words[: named[0].start])


def judging_words(words: Sequence[str], doubtful: bool = False) -> Iterator[tuple[int, int, str]]:
    """(start, end, state) of each judging phrase: AFFIRMED for abnormal, NEGATED for normal, or in doubt.

    doubtful  whether a phrase counts that is only suggested, as what a question asks is
    """
    text, taken = " ".join(words), 0
    found = []
    for state, pattern in _JUDGING:
        for match in pattern.finditer(text):
            start = text.count(" ", 0, match.start())
            found.append((start, start + match[0].count(" ") + 1, state))
    found.sort(key=lambda one: (one[0], -one[1]))
    for start, end, state in found:
        if start >= taken:
            taken = end
            told = assertion(words, start, end)
            if told == NEGATED:
                yield start, end, OPPOSITE[state]
            elif told == AFFIRMED or (doubtful and told == UNCERTAIN):
                yield start, end, state


def _state_asked(parts: list[tuple[str, ...]]) -> str:
    """ABNORMAL or NORMAL by the question's judging words, PRESENT where it has none.

    "without abnormalities" asks for NORMAL, "not clear" for ABNORMAL.
    """
    weak, strong = [], []  # "findings" and "changes" say what is asked only where nothing else does
    for words in parts:
        for start, _, state in judging_words(words, doubtful=True):
            (weak if words[start] in _WEAK else strong).append(state)
    states = strong or weak
    if AFFIRMED in states:
        return ABNORMAL
    return NORMAL if NEGATED in states else PRESENT


def _content_stems(parts: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The stems of words that are neither a term of the lexicon, nor a side, nor found in any question."""
    common = _stems_in_any_question()
    stems: dict[str, None] = {}
    for words in parts:
        others = list(words)
        for mention in reversed(mentions(words)):
            del others[mention.start : mention.end]
        stems |= dict.fromkeys(stem(word) for word in others if word not in ("left", "right"))
    return tuple(one for one in stems if one not in common)


@functools.cache
def _stems_in_any_question() -> frozenset[str]:
    return frozenset(map(stem, terms.VOCABULARY["in_any_question"].split()))
