"""How reports speak: the lexicon's terms, their kin, and whether a clause affirms, denies or doubts one.

Terms are found by word: "mass" is not in "massive". Cues are as in NegEx (Chapman et al., 2001): the packages
that have them (negspacy, medspacy) need spaCy and a model, pyConTextNLP is no longer kept up.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from medical_rl.data.concepts import LEXICON, PICTURES
from medical_rl.parsing.text import NEGATIONS, stem, words

VOCABULARY = yaml.safe_load(Path(__file__).with_name("vocabulary.yaml").read_text(encoding="utf-8"))
# No finding and no place: what every question about a radiograph names.
PICTURE = frozenset(PICTURES) | {"thorax"}
PLACES = frozenset(itertools.chain.from_iterable(VOCABULARY["places"].values()))

AFFIRMED, NEGATED, UNCERTAIN = "affirmed", "negated", "uncertain"
BACK = 40  # words before a mention in which a cue may be about it: a list may be long
NEAR = 8  # words after it

PSEUDO, DOUBT_BEFORE, DOUBT_AFTER = map(tuple, map(VOCABULARY.get, ("pseudo", "doubt_before", "doubt_after")))
DENIED_BEFORE = tuple(sorted(NEGATIONS - {"free"}) + VOCABULARY["denied_before"])
_NOT_SEEN = itertools.product(("not", "not clearly", "not definitively", "neither"), VOCABULARY["seen"])
DENIED_AFTER = (*VOCABULARY["denied_after"], *map(" ".join, _NOT_SEEN))

_SENTENCE = re.compile(
    r"(?<=[.!?;])\s+|(?<=[a-z])\.+(?=[A-Z])|\.\.+|\n+|(?<=[a-z])\s+(?=(?:There|No|The|Lungs|Heart)\s[a-z])"
)
_CLAUSE = re.compile(
    r",?\s*\b(?:but|however|although|though|except|aside|apart|yet|whereas|while)\b|;"
    r"|,\s*(?=(?:there|with|mild|mildly|moderate|severe|stable|unchanged|minimal)\b)"
    r"|\b(?=there (?:is|are)\b)",
    re.IGNORECASE,
)


class Mention(NamedTuple):
    """A concept that words[start:end] name."""

    concept: str
    start: int
    end: int


class Kin(NamedTuple):
    """Findings read as one another, others whose denial, and places whose normality, denies these."""

    names: tuple[str, ...]
    denied_by: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


KIN = tuple(Kin(**{key: tuple(names) for key, names in line.items()}) for line in VOCABULARY["kin"])


def mentions(clause: Sequence[str]) -> list[Mention]:
    """The concepts in lower-case words, in order; the longest at each word takes its words.

    >>> [m.concept for m in mentions(words("massive pleural effusions and an enlarged heart"))]
    ['pleural effusion', 'cardiomegaly']
    """
    stems = tuple(map(stem, clause))
    concepts, longest = _concepts_by_stems()
    found, start = [], 0
    while start < len(stems):
        end = min(start + longest, len(stems))
        while end > start and stems[start:end] not in concepts:
            end -= 1
        if end > start:
            found.append(Mention(concepts[stems[start:end]], start, end))
        start = max(end, start + 1)
    return found


@functools.cache
def _concepts_by_stems() -> tuple[dict[tuple[str, ...], str], int]:
    """{stems: concept}, and the most words one has; a concept's own name beats another's way of writing."""
    ways = [(way, name) for name, others in LEXICON.items() for way in others]
    ways += [(name, name) for name in LEXICON]
    concepts = {tuple(map(stem, words(way.replace("-", " ").casefold()))): name for way, name in ways}
    return concepts, max(map(len, concepts))


def kin(finding: str) -> Kin:
    """The line of KIN that has the finding, one that begins with it first; else one of its own.

    >>> kin("effusion").names, kin("drusen").names
    (('pleural effusion', 'effusion'), ('drusen',))
    """
    lines = [line for line in KIN if finding in line.names]
    return min(lines, key=lambda line: line.names.index(finding), default=Kin((finding,)))


def places_alike(places: tuple[str, ...]) -> frozenset[str]:
    """The places, and those spoken of with them."""
    together = set(places)
    for group in VOCABULARY["alike"]:
        if not set(places).isdisjoint(group):
            together.update(group)
    return frozenset(together)


def findings_of(places: tuple[str, ...]) -> tuple[str, ...]:
    """The findings that would make one of the places abnormal.

    >>> findings_of(("aorta",))
    ('tortuous aorta', 'atherosclerosis', 'aortic calcification')
    """
    near = places_alike(places)
    findings = []
    for line in KIN:
        if near.intersection(line.places[:1]):
            findings += line.names
    return tuple(findings)


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
