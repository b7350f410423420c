"""Concepts: the medical terms of a question, whose mention MEDFACT-R1 rewards, found by a lexicon.

The lexicon (medical_rl/parsing/lexicon.yaml) needs no model and gives the same for everyone; a judge may list them instead (see
`medical_rl.data.inspect.judge_concepts`). Which rows get any is the reader's option `concepts`.
"""

import functools
import re
import unicodedata

from medical_rl.parsing.lexicon import LEXICON

EXTRACTORS = ("lexicon", "none")


def concepts_of(question: str, extractor: str = "lexicon") -> tuple[str, ...]:
    """The concepts of a question in the order they appear, each once; () with the extractor "none".

    The longest term at each word takes its words: "pleural effusion" is not "pleura" too.

    >>> concepts_of("Does the chest radiograph show any signs of lung infection or congestion?")
    ('chest radiograph', 'lung infection', 'congestion')
    """
    if extractor == "none":
        return ()
    # Punctuation stays as words of its own, so that no term reaches across a comma.
    words = re.findall(r"\w+|[^\w\s]", _plain(question))
    terms, longest = _terms()
    concepts: dict[str, None] = {}
    start = 0
    while start < len(words):
        for length in range(min(longest, len(words) - start), 0, -1):
            concept = terms.get(_singular(" ".join(words[start : start + length])))
            if concept:
                concepts[concept] = None
                break
        start += length
    return tuple(concepts)


@functools.cache
def _terms() -> tuple[dict[str, str], int]:
    """{way of writing, made singular: concept}, and the most words that one has."""
    terms = {}
    for concept, others in LEXICON.items():
        terms |= {_singular(_plain(name)): concept for name in (concept, *others)}
    return terms, max(map(len, map(str.split, terms)))


def _singular(text: str) -> str:
    """The text without a plural's ending; never shown, so that "mas" for "mass" does no harm."""
    return text.removesuffix("s").removesuffix("e")


def _plain(text: str) -> str:
    """Lower case, with every run of spaces, hyphens and slashes made one space."""
    return re.sub(r"[\s\-‐‑–/]+", " ", unicodedata.normalize("NFKC", text).casefold())
