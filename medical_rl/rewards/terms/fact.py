"""Fact: how many of the question's clinical concepts the response speaks of (MEDFACT-R1)."""

import functools

from medical_rl.errors import UserError, check_known
from medical_rl.parsing.assertion import NEGATED, assertion, clauses, split_sentences
from medical_rl.parsing.lexicon import Mention, last_stems, mentions
from medical_rl.parsing.response import Response
from medical_rl.parsing.text import stem, words
from medical_rl.sample import Sample

EACH = 0.2  # points a concept, MEDFACT-R1 section 2.3
SCOPES = ("answer", "think", "both")
MATCHES = ("words", "substring")


def fact(
    response: Response,
    sample: Sample,
    scope: str = "both",
    match: str = "words",
    cap: float | None = None,
    each: float = EACH,
    skip_negated: bool = False,
) -> float:
    """`each` points for every concept of the sample that the response reflects; in [0, maximum].

    scope         where to look: answer, think, or both (a yes/no answer alone names no concept)
    match         words: the concept's words in a row, inflections allowed ("infections" for "infection"), or
                  another name that the lexicon has for it ("chest X-ray" for "chest radiography");
                  substring: MEDFACT-R1's public code, anywhere in the text, parts of words too
    cap           largest reward; null leaves each * the number of concepts
    skip_negated  a mention that its clause negates ("no infection") does not count

    A concept may list spellings with "/" ("X-ray/radiograph"): any of them counts. Concepts that are one in
    two forms ("effusion", "effusions") are one.

    >>> from medical_rl.parsing.response import parse
    >>> concepts = ("lung infection", "congestion")
    >>> s = Sample(id="1", source="demo", question="?", kind="yes_no", answer="no", concepts=concepts)
    >>> fact(parse("<think>Lung infections are excluded.</think><answer>no</answer>"), s)
    0.2
    """
    check_known("scope of the fact reward", scope, SCOPES)
    check_known("way to match concepts", match, MATCHES)
    if not sample.concepts:
        raise UserError(
            f"The fact reward counts concepts, and the row {sample.id!r} of {sample.source} has none. "
            "Prepare the data with concepts, or leave the term out: ~conf.rewards.terms.fact."
        )
    count = 0
    if match == "substring":
        text = response.text.lower()
        for concept in sample.concepts:
            count += any(spelling in text for spelling in _spellings(concept.lower()))
    else:
        parts = {"think": [response.thought], "answer": [response.answer]}
        parts["both"] = parts["think"] + parts["answer"]
        text = "\n".join(filter(None, parts[scope]))
        named = _named(tuple(sample.concepts)).values()
        last = frozenset().union(*map(_last_stems, named))
        told = []
        for sentence in split_sentences(text):
            if last.isdisjoint(map(stem, words(sentence.casefold()))):
                continue  # nothing that could end a name: most sentences are not looked into
            for clause in clauses(sentence):
                told.append((clause, tuple(map(stem, clause)), mentions(clause)))
        for names in named:
            count += any(_is_reflected(names, *clause, skip_negated) for clause in told)
    return min(each * count, maximum(sample, cap=cap, each=each, match=match))


def maximum(sample: Sample, cap: float | None = None, each: float = EACH, match: str = "words", **_) -> float:
    """The largest reward: `each` times the number of concepts, or the cap."""
    listed = dict.fromkeys(sample.concepts) if match == "substring" else _named(tuple(sample.concepts))
    most = each * len(listed)
    return most if cap is None else min(most, float(cap))


def has_concepts(sample: Sample) -> bool:
    """Whether the row has anything for the term to look for: without, a mix leaves the term out of its reward."""
    return bool(sample.concepts)


fact.maximum, fact.applies = maximum, has_concepts


def _spellings(concept: str) -> list[str]:
    return [part.strip() for part in concept.split("/") if part.strip()]


@functools.lru_cache(maxsize=4096)
def _named(concepts: tuple[str, ...]) -> dict[frozenset, frozenset]:
    """{what a concept is: how it is named}; two names of the lexicon for one concept, or two forms, are one.

    A name is that of the lexicon or, as a tuple, the stems of a spelling.
    """
    named: dict[frozenset, frozenset] = {}
    for concept in concepts:
        identity, names = set(), set()
        for spelling in _spellings(concept.casefold()):
            plain = words(spelling)
            stems = tuple(map(stem, plain))
            known = mentions(plain)
            is_one = len(known) == 1 and (known[0].start, known[0].end) == (0, len(plain))
            identity.add(known[0].concept if is_one else stems)
            names.update({stems, *identity})
        key = frozenset(identity)
        named[key] = named.get(key, frozenset()) | names
    return named


@functools.lru_cache(maxsize=4096)
def _last_stems(names: frozenset) -> frozenset[str]:
    """The stems that the names may end with."""
    return frozenset().union(*(name[-1:] if isinstance(name, tuple) else last_stems(name) for name in names))


def _is_reflected(
    names: frozenset,
    clause: tuple[str, ...],
    stems: tuple[str, ...],
    named: list[Mention],
    skip_negated: bool,
) -> bool:
    """Whether a clause names a concept, by the lexicon or by its stems in a row."""
    places = [(one.start, one.end) for one in named if one.concept in names]
    for wanted in names:
        if isinstance(wanted, tuple) and wanted:
            starts = range(len(stems) - len(wanted) + 1)
            places += [(at, at + len(wanted)) for at in starts if stems[at : at + len(wanted)] == wanted]
    return any(not (skip_negated and assertion(clause, *place) == NEGATED) for place in places)
