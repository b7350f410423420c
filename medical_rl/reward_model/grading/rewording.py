"""A text worded anew: some of its words replaced by synonyms, its meaning left as it is."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator

from medical_rl.data.lexicon import LEXICON
from medical_rl.reward_model.grading.protected import GRAMMAR, PROTECTED
from medical_rl.reward_model.grading.synonyms import Synonyms

_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_VOWEL = re.compile(r"(?!uni|use|usu|eu|one|once)[aeiou]|hour|honest", re.IGNORECASE)


def reword(text: str, synonyms: Synonyms, rng, share: float = 0.5, kept: Collection[str] = ()) -> str | None:
    """`text` with about `share` of the places that have a synonym, at least one, worded anew; None where there is none.

    kept  words that stay, and that no synonym may bring in (the answer's and the choices'), lower case

    Tags, numbers, negations, sides and doubts stay; so do the names of findings that are in the lexicon of `data.lexicon`, which
    a phrase of the table may replace whole. The case of the first letter, or of all, is kept, and "a" or "an" put right.

    >>> import numpy as np
    >>> from medical_rl.reward_model.grading.synonyms import Table
    >>> table = Table("mine", {"large": ("enormous",), "left": ("port",)})
    >>> reword("A large disc on the left", table, np.random.default_rng(0))
    'An enormous disc on the left'
    """
    held = PROTECTED | frozenset(kept)
    places = list(_places(text, synonyms, held))
    if not places:
        return None
    count = max(1, round(share * len(places)))
    chosen = sorted(int(i) for i in rng.choice(len(places), size=count, replace=False))
    pieces, at = [], 0
    for start, end, found in (places[i] for i in chosen):
        new = found[int(rng.integers(len(found)))]
        before = _with_article(text[at:start], new)
        pieces += [before, _cased(text[start:end], new)]
        at = end
    return "".join([*pieces, text[at:]])


def _places(
    text: str, synonyms: Synonyms, held: frozenset[str]
) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """(start, end, synonyms) of what can be replaced, longest phrase first, none overlapping another."""
    words = [(m.start(), m.end(), m[0].lower()) for m in _WORD.finditer(text)]
    tags = [m.span() for m in re.finditer(r"<[^<>]*>|\\[a-zA-Z]+", text)]
    at = 0
    while at < len(words):
        taken = 1
        for length in range(min(max(synonyms.longest, _longest_name()), len(words) - at), 0, -1):
            start, end = words[at][0], words[at + length - 1][1]
            phrase = text[start:end].lower()
            if phrase != " ".join(word for _, _, word in words[at : at + length]) or any(
                a < end and start < b for a, b in tags
            ):
                continue  # punctuation or a tag within
            if found := _allowed(phrase, synonyms, held):
                yield start, end, found
            if found or (length > 1 and phrase in _names()):
                taken = length
                break
        at += taken


def _allowed(phrase: str, synonyms: Synonyms, held: frozenset[str]) -> tuple[str, ...]:
    words = phrase.split()
    # "is" and "of" may stand in a phrase of a table, where they were looked at; never as a word by itself
    barred = held - GRAMMAR if len(words) > 1 else held
    if len(words) > synonyms.longest or barred.intersection(words) or any(c.isdigit() for c in phrase):
        return ()
    never = held - GRAMMAR
    return tuple(new for new in synonyms.of(phrase) if not never.intersection(_WORD.findall(new.lower())))


@functools.cache
def _names() -> frozenset[str]:
    """The names of two words and more in the lexicon: "optic disc" is not taken apart."""
    ways = {way for name, others in LEXICON.items() for way in (name, *others)}
    return frozenset(form for way in ways if " " in way for form in (way, f"{way}s"))


@functools.cache
def _longest_name() -> int:
    return max(len(name.split()) for name in _names())


def _cased(old: str, new: str) -> str:
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new[0].upper() + new[1:] if old[0].isupper() else new


def _with_article(before: str, new: str) -> str:
    """`before` with "a" or "an" at its end as `new` wants it."""
    match = re.search(r"(?<![\w'’.])([aA])[nN]?(\s+)$", before)
    if not match:
        return before
    return f"{before[: match.start()]}{match[1]}{'n' if _VOWEL.match(new) else ''}{match[2]}"
