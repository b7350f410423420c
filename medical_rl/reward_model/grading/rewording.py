"""A text worded anew: some of its words replaced by synonyms, its meaning left as it is."""

import functools
import re
from collections.abc import Collection, Iterator

from medical_rl.data.lexicon import LEXICON
from medical_rl.reward_model.grading.synonyms import Synonyms, protected_words

NEGATIONS = protected_words("negations")
SIDES, DOUBTS, NUMBERS = map(protected_words, ("sides", "doubts", "numbers"))
GRAMMAR = protected_words("grammar")
PROTECTED = NEGATIONS | SIDES | DOUBTS | NUMBERS | GRAMMAR
_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_TAG = re.compile(r"<[^<>]*>|\\[a-zA-Z]+")
_VOWEL = re.compile(r"(?!uni|use|usu|eu|one|once)[aeiou]|hour|honest", re.IGNORECASE)


def reword(text: str, synonyms: Synonyms, rng, share: float = 0.5, kept: Collection[str] = ()) -> str | None:
    """`text` with `share` of the places that have a synonym, at least one, worded anew; None without one.

    kept  words that stay, and that no synonym may bring in (the answer's and the choices'), lower case

    Tags, numbers, negations, sides and doubts stay; so do the names of findings that are in the lexicon of
    `data.lexicon`, which a phrase of the table may replace whole. The case of the first letter, or of all, is
    kept, and "a" or "an" put right.

    >>> import numpy as np
    >>> from medical_rl.reward_model.grading.synonyms import Table
    >>> table = Table("mine", {"large": ("enormous",), "left": ("port",)})
    >>> reword("A large disc on the left", table, np.random.default_rng(0))
    'An enormous disc on the left'
    """
    places = list(_places(text, synonyms, PROTECTED.union(kept)))
    if not places:
        return None
    count = max(1, round(share * len(places)))
    pieces, position = [], 0
    for index in sorted(rng.choice(len(places), size=count, replace=False)):
        start, end, ways = places[index]
        new = ways[int(rng.integers(len(ways)))]
        pieces.append(_with_article(text[position:start], new))
        pieces.append(_cased(text[start:end], new))
        position = end
    pieces.append(text[position:])
    return "".join(pieces)


def _places(
    text: str, synonyms: Synonyms, held: frozenset[str]
) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """(start, end, synonyms) of what can be replaced, longest phrase first, none overlapping another."""
    words = list(_WORD.finditer(text))
    tags = [match.span() for match in _TAG.finditer(text)]
    longest = max(synonyms.longest, _longest_name())
    position = 0
    while position < len(words):
        taken = 1
        for length in range(min(longest, len(words) - position), 0, -1):
            phrase_words = words[position : position + length]
            start, end = phrase_words[0].start(), phrase_words[-1].end()
            phrase = text[start:end].lower()
            if phrase != " ".join(match[0].lower() for match in phrase_words):
                continue  # punctuation within
            if any(first < end and start < last for first, last in tags):
                continue
            ways = _allowed(phrase, synonyms, held)
            if ways:
                yield start, end, ways
            if ways or (length > 1 and phrase in _names()):
                taken = length
                break
        position += taken


def _allowed(phrase: str, synonyms: Synonyms, held: frozenset[str]) -> tuple[str, ...]:
    words = phrase.split()
    decisive = held - GRAMMAR
    # "is" and "of" may stand in a phrase of a table, where they were looked at; never as a word by itself
    barred = decisive if len(words) > 1 else held
    if len(words) > synonyms.longest or barred.intersection(words) or any(map(str.isdigit, phrase)):
        return ()
    return tuple(new for new in synonyms.of(phrase) if decisive.isdisjoint(_WORD.findall(new.lower())))


@functools.cache
def _names() -> frozenset[str]:
    """The names of two words and more in the lexicon: "optic disc" is not taken apart."""
    names = set()
    for name, others in LEXICON.items():
        for way in (name, *others):
            if " " in way:
                names.update((way, f"{way}s"))
    return frozenset(names)


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
    article = match[1] + "n" if _VOWEL.match(new) else match[1]
    return before[: match.start()] + article + match[2]
