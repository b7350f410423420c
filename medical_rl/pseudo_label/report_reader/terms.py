"""The lexicon's terms in a text, by word and with their places: "mass" is not in "massive"."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from medical_rl.data.lexicon import LEXICON
from medical_rl.parsing.negation import stem, words


class Mention(NamedTuple):
    """A concept that words[start:end] name."""

    concept: str
    start: int
    end: int


def mentions(said: Sequence[str]) -> list[Mention]:
    """The concepts in lower-case words, in order; the longest at each word takes its words.

    >>> [m.concept for m in mentions(words("massive pleural effusions and an enlarged heart"))]
    ['pleural effusion', 'cardiomegaly']
    """
    stemmed = tuple(map(stem, said))
    known, longest = _known()
    found, at = [], 0
    while at < len(stemmed):
        lengths = range(min(longest, len(stemmed) - at), 0, -1)
        length = next((n for n in lengths if stemmed[at : at + n] in known), 0)
        if length:
            found.append(Mention(known[stemmed[at : at + length]], at, at + length))
        at += length or 1
    return found


@functools.cache
def _known() -> tuple[dict[tuple[str, ...], str], int]:
    """{stems: concept}, and the most words that one has; a concept's own name stands over another's way of writing."""
    ways = [(way, name) for name, others in LEXICON.items() for way in others]
    ways += [(name, name) for name in LEXICON]
    known = {tuple(map(stem, words(way.replace("-", " ").casefold()))): name for way, name in ways}
    return known, max(map(len, known))
