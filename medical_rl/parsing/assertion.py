"""Whether a clause affirms, denies or doubts a mention: cues as in NegEx (Chapman et al., 2001; cues.yaml).

The packages that do this (negspacy, medspacy) need spaCy and a model, and pyConTextNLP is no longer kept up.
The fact reward and the rule labeller read by it.
"""

import functools
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from medical_rl.parsing.text import NEGATIONS, words

CUES = yaml.safe_load(Path(__file__).with_name("cues.yaml").read_text(encoding="utf-8"))
# PAST: it was so once, or is so in a relative, and nothing is said of today.
AFFIRMED, NEGATED, UNCERTAIN, PAST = "affirmed", "negated", "uncertain", "past"
BACK = 40  # words before a mention in which a cue may be about it: a list may be long
NEAR = 8  # words after it

_NAMES = "|".join(sorted(map(re.escape, CUES["read"] + CUES["not_read"]), key=len, reverse=True))
_HEADING = re.compile(rf"(?:^|(?<=[.\n;?!])|(?<=\s))\s*\b((?i:{_NAMES})|[A-Z][A-Z ()/&]{{3,60}}):")
_SENTENCE = re.compile(
    r"(?<=[.!?;])\s+|(?<=[a-z)])\.+(?=[A-Z])|\.\.+|\n+|(?<=[a-z])\s+(?=(?:There|No|The|Lungs|Heart)\s[a-z])"
    r"|(?:^|(?<=[\s.;,]))\d{1,2}[.)](?=\s*[A-Z])|(?<=[A-Za-z])\.(?=\d{1,2}[.)]\s*[A-Z])"  # "1.No A.2.B"
)
_CLAUSE = re.compile(
    r",?\s*\b(?:but|however|although|though|except|aside|apart|yet|whereas|while)\b|;"
    r"|,\s*(?=(?:there|with|mild|mildly|moderate|severe|stable|unchanged|minimal|old|healed|chronic|"
    r"persistent|possible|possibly|probable|probably|likely|questionable)\b)"
    r"|,\s*(?=(?:the |both )?(?:heart|lungs?|cardiac|mediastin\w+|aorta|trachea|cardiomediastinal|bon[ey]\w*)"
    r"\b[^,]*\b(?:is|are|normal|clear|unremarkable|enlarged|stable|unchanged|intact|tortuous|within)\b)"
    r"|\b(?=there (?:is|are)\b)"
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|remains?|persists?|appears?|shows?|demonstrates?|measures?)\b"
)
# "Lungs are hyperinflated but clear": what is said of the same.
_PREDICATE = re.compile(
    r"\s*(?:(?:are|is)\s+)?(?:(?:otherwise|still|\w+ly)\s+)?"
    r"(?:clear|normal|unremarkable|stable|intact|unchanged|within)\b"
)
_JOIN = re.compile(r"(,?\s+and\s+|,\s+)")
_VALUE = r"(?<=[a-z)])\s*[:?]\s*"
_REWRITES = [
    (re.compile(pattern), to)
    for pattern, to in (
        (r"cannot", "can not"),
        (r"-free\b", " absent"),
        (rf"{_VALUE}(?:no|none|nil|absent|negative|neg|not (?:seen|present))\s*(?=[.,;]|$)", " absent;"),
        (rf"{_VALUE}(?:yes|present|positive|pos)\s*(?=[.,;]|$)", " present;"),
        (r"\?\s*(?=[a-z])", " possible "),
        (r"\bw/o\b", "without"),
        (r"\br/o\b", "rule out"),
        (r"\bh/o\b|\bhx(?: of)?\b", "history of"),
        (r"\bc/w\b", "consistent with"),
        (r"\+/-", " possible "),
        (r"\b(favou?r\w* [^.;]*?)\bover\b", r"\1rather than"),
        (r"\b((?:\w+ )?(?:tube|line|catheter|drain|stent|lead|device|pacemaker)s?) removal\b", r"removal of \1"),
    )
]  # fmt: skip


def sentences(text: str) -> list[str]:
    """The sentences of a report's findings; a stop within a number ends none, one without a space does.

    What stands under headings such as Indication, History or Comparison is left out.

    >>> sentences("INDICATION: effusion? FINDINGS: A 0.5 cm nodule.There is no effusion.. Heart normal")
    ['A 0.5 cm nodule', 'There is no effusion', 'Heart normal']
    """
    return split_sentences(_without_sections(text))


def split_sentences(text: str) -> list[str]:
    """The sentences of any text, whatever they stand under."""
    parts = (part.strip() for part in _SENTENCE.split(text) if part)
    return [part for part in parts if words(part)]


def _without_sections(text: str) -> str:
    """The text without the sections that tell no finding."""
    kept, start, is_read = [], 0, True
    for heading in _HEADING.finditer(text):
        if is_read:
            kept.append(text[start : heading.start()])
        name = " ".join(heading[1].casefold().split())
        is_read = name not in CUES["not_read"] and name.partition(" (")[0] not in CUES["not_read"]
        # A heading that may be what a line is about ("HEART: enlarged") stays in the text.
        start = heading.end() if name in CUES["read"] and name not in _PLACES else heading.start(1)
    if is_read:
        kept.append(text[start:])
    return "\n".join(kept)


_PLACES = ("chest", "lungs", "heart")


def clauses(sentence: str) -> list[tuple[str, ...]]:
    """The lower-case words of each clause; a denial reaches over a list's commas, and not over "but".

    Statements with a verb each are clauses of their own; one without a subject has that of the one before.

    >>> clauses("No effusion, edema or mass but cardiomegaly")
    [('no', 'effusion', 'edema', 'or', 'mass'), ('cardiomegaly',)]
    >>> [" ".join(one) for one in clauses("Effusions have resolved on the right and persist on the left")]
    ['effusions have resolved on the right', 'effusions persist on the left']
    """
    text = sentence.casefold()
    for pattern, to in _REWRITES:
        text = pattern.sub(to, text)
    statements: list[str] = []
    for part in _CLAUSE.split(text):
        subject = _subject(statements[-1]) if statements and _PREDICATE.match(part) else None
        statements += _statements((subject or "") + part.strip())
    return list(filter(None, map(words, statements)))


def _statements(clause: str) -> list[str]:
    """A clause divided at "and" and commas where either side has a verb."""
    pieces = _JOIN.split(clause)  # a piece, what joins it to the next, that piece, ...
    statements, now, subject = [], [pieces[0]], _subject(pieces[0])
    for joint, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        own = _subject(piece)
        if subject is None or own is None:
            now += [joint, piece]
            subject = own if subject is None and own is not None else subject
            continue
        statements.append("".join(now))
        if own.strip():
            now, subject = [piece], own
        else:
            now = [subject, piece]
    return [*statements, "".join(now)]


def _subject(piece: str) -> str | None:
    """What stands before the first verb of a piece; None where it has none."""
    verb = _VERB.search(piece)
    return verb and piece[: verb.start()]


def assertion(clause: Sequence[str], start: int, end: int) -> str:
    """AFFIRMED, NEGATED, UNCERTAIN or PAST: how a clause's words speak of what clause[start:end] names.

    >>> clause = clauses("no evidence of effusion")[0]
    >>> assertion(clause, 3, 4), assertion(clauses("effusion is not definitively excluded")[0], 0, 1)
    ('negated', 'uncertain')
    """
    before = _PSEUDO.sub(" ", _plain(clause[max(0, start - BACK) : start]))
    after = _plain(clause[end : end + NEAR])
    if _FAMILY.intersection(clause[max(0, start - NEAR) : end + NEAR]):
        return PAST
    plain, doubts = _pattern(DOUBT_BEFORE).subn(" ", before)
    is_gone = _pattern(GONE_BEFORE).search(plain.rpartition(" with ")[2])
    if is_gone or _pattern(DENIED_BEFORE).search(plain) or _DENYING.intersection(clause[start:end]):
        return NEGATED
    if _pattern(PAST_BEFORE).search(_pattern(TODAY).split(before)[-1]):
        return PAST
    if doubts or _pattern(DOUBT_AFTER).search(after):
        return UNCERTAIN
    return NEGATED if _pattern(DENIED_AFTER).search(after) else AFFIRMED


def _plain(part: Sequence[str]) -> str:
    """The words that cues are sought in: no adverbs, and no "no change in", which denies nothing."""
    plain = [word for word in part if not _ADVERB.fullmatch(word)]
    return _COURSE.sub(" ", f" {' '.join(plain)} ")


@functools.cache
def _pattern(cues: tuple[str, ...]) -> re.Pattern:
    """Any of the phrases as whole words, the longest first."""
    ordered = sorted(cues, key=len, reverse=True)
    return re.compile(rf"(?<=\s)(?:{'|'.join(map(re.escape, ordered))})(?=\s)")


DOUBT_BEFORE, DOUBT_AFTER, PAST_BEFORE, TODAY = (
    tuple(CUES[name]) for name in ("doubt_before", "doubt_after", "past", "today")
)
GONE_BEFORE = tuple(CUES["gone_before"])
DENIED_BEFORE = tuple(sorted(NEGATIONS - {"free"}) + CUES["denied_before"])
_NOT_SEEN = map(" ".join, itertools.product(("not", "neither"), CUES["seen"]))
DENIED_AFTER = (*CUES["denied_after"], *_NOT_SEEN)
_FAMILY, _DENYING = frozenset(CUES["family"]), frozenset(CUES["denying_names"])
_PSEUDO = _pattern(tuple(CUES["pseudo"]))
_COURSE = re.compile(
    rf"(?<=\s)(?:no|not|without)(?: (?:{'|'.join(CUES['degrees'])})){{0,3}}"
    rf" (?:{'|'.join(CUES['courses'])})(?=\s)"
)
_ADVERB = re.compile(
    r"(?!only|early|family|likely|unlikely|possibly|poorly|supply|anomaly|belly|fly|assembly)\w+ly"
)
