"""Whether a clause affirms, denies or doubts a mention: cues as in NegEx (Chapman et al., 2001).

The packages that do this (negspacy, medspacy) need spaCy and a language model of its own, and pyConTextNLP is
no longer kept up, so it is done here, on the words that deny in the fact reward and a few phrases of
radiology.
"""

import functools
import re
from collections.abc import Iterator, Sequence

from medical_rl.parsing.text import NEGATIONS, words

AFFIRMED, NEGATED, UNCERTAIN = "affirmed", "negated", "uncertain"
BACK = 40  # words before a mention in which a cue may be about it: a list may be long
NEAR = 8  # words after it

# Hold a word that denies, and deny nothing that stands near them.
PSEUDO = (
    "no change", "no interval change", "no significant change", "no significant interval change",
    "not changed", "without change", "not significantly changed", "no increase", "not only",
    "not necessarily",
)  # fmt: skip
DOUBT_BEFORE = (
    "cannot exclude", "can not exclude", "cannot rule out", "can not rule out", "cannot entirely exclude",
    "could not exclude", "not exclude", "not rule out", "may", "might", "could", "possible", "possibly",
    "question of", "questionable", "suspicion for", "suspected", "suggest", "suggests", "suggesting",
    "suggestive of", "to exclude", "rule out", "concern for", "concerning for", "worrisome for", "versus",
    "vs", "equivocal", "if",
)  # fmt: skip
DOUBT_AFTER = (
    "not excluded", "not be excluded", "not entirely excluded", "not be entirely excluded", "not ruled out",
    "not be ruled out", "is possible", "are possible", "is suspected", "is questioned", "versus", "vs",
)  # fmt: skip
DENIED_BEFORE = tuple(sorted(NEGATIONS - {"free", "absent", "not", "neither", "nor"})) + (
    "neither", "nor", "not", "free of", "free from", "clear of", "absence of", "absent", "cannot", "lack of",
    "lacks", "excludes", "excluding", "resolution of", "resolved", "rather than", "unlikely",
)  # fmt: skip
_SEEN = (
    "seen", "identified", "visualized", "visualised", "appreciated", "present", "evident", "noted",
    "demonstrated", "detected", "observed", "found", "visible", "apparent", "shown",
)  # fmt: skip
DENIED_AFTER = (
    "absent", "ruled out", "excluded", "negative", "unlikely", "resolved", "denied", "not definitely seen",
    "no longer",
) + tuple(
    f"{cue} {seen}" for cue in ("not", "not clearly", "not definitively", "neither") for seen in _SEEN
)  # fmt: skip

_SENTENCE = re.compile(
    r"(?<=[.!?;])\s+|(?<=[a-z])\.+(?=[A-Z])|\.\.+|\n+|(?<=[a-z])\s+(?=(?:There|No|The|Lungs|Heart)\s[a-z])"
)
_CLAUSE = re.compile(
    r",?\s*\b(?:but|however|although|though|except|aside|apart|yet|whereas|while)\b|;"
    r"|,\s*(?=(?:there|with|mild|mildly|moderate|severe|stable|unchanged|minimal)\b)"
    r"|\b(?=there (?:is|are)\b)",
    re.IGNORECASE,
)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a report; a stop within a number ends none, one without a space after it does.

    >>> list(sentences("A 0.5 cm nodule.There is no effusion.. Heart normal"))
    ['A 0.5 cm nodule', 'There is no effusion', 'Heart normal']
    """
    return (part.strip() for part in _SENTENCE.split(text) if part and words(part))


def clauses(sentence: str) -> list[tuple[str, ...]]:
    """The lower-case words of each clause; a denial reaches over a list's commas, and not over "but".

    >>> clauses("No effusion, edema or mass but cardiomegaly")
    [('no', 'effusion', 'edema', 'or', 'mass'), ('cardiomegaly',)]
    """
    parts = _CLAUSE.split(sentence.replace("cannot", "can not").casefold())
    return list(filter(None, map(words, parts)))


def assertion(clause: Sequence[str], start: int, end: int) -> str:
    """AFFIRMED, NEGATED or UNCERTAIN: how a clause's words speak of what clause[start:end] names.

    >>> clause = clauses("no evidence of effusion")[0]
    >>> assertion(clause, 3, 4), assertion(clauses("cannot exclude effusion")[0], 3, 4)
    ('negated', 'uncertain')
    """
    before = _pattern(PSEUDO).sub(" ", f" {' '.join(clause[max(0, start - BACK) : start])} ")
    after = _pattern(PSEUDO).sub(" ", f" {' '.join(clause[end : end + NEAR])} ")
    plain, doubts = _pattern(DOUBT_BEFORE).subn(" ", before)
    if _pattern(DENIED_BEFORE).search(plain):
        return NEGATED
    if doubts or _pattern(DOUBT_AFTER).search(after):
        return UNCERTAIN
    return NEGATED if _pattern(DENIED_AFTER).search(after) else AFFIRMED


@functools.cache
def _pattern(cues: tuple[str, ...]) -> re.Pattern:
    """Any of the phrases as whole words, the longest first."""
    ordered = sorted(cues, key=len, reverse=True)
    return re.compile(rf"(?<=\s)(?:{'|'.join(map(re.escape, ordered))})(?=\s)")
