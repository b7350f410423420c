"""Words as rules read them: stems, clauses, and the words that deny what stands beside them."""

from __future__ import annotations

import functools
import re
import unicodedata

NEGATIONS = frozenset(
    ["no", "not", "without", "absent", "denies", "denied", "never", "nor", "neither", "free", "negative"]
)
AFTER = frozenset(["absent", "not", "excluded", "exclud", "negative", "negat", "unlikely"])
# a dot inside a number ends no clause
CLAUSE = re.compile(r"\.(?=\s|$)|[;!?\n]|,\s*(?:but|however|although)\b|\b(?:but|however|although)\b")


def words(text: str) -> tuple[str, ...]:
    """The words and numbers of a text, as they stand; "isn't" is "is not".

    >>> words("There isn't a 0.5 cm nodule.")
    ('There', 'is', 'not', 'a', '0.5', 'cm', 'nodule')
    """
    plain = unicodedata.normalize("NFKC", text).replace("’", "'").replace("n't", " not")
    return tuple(re.findall(r"\d+(?:\.\d+)?|\w+", plain))


def stems(text: str) -> tuple[str, ...]:
    """The stem of every word of a lower-case text; a negation stays as it is."""
    return tuple(map(stem, words(text)))


@functools.lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Snowball's English stem of a lower-case word; a negation stays as it is.

    >>> stem("effusions"), stem("denied")
    ('effus', 'denied')
    """
    return word if word in NEGATIONS else _stemmer().stem(word)


@functools.cache
def _stemmer():
    # Imported where it is used: nltk brings scikit-learn and pandas with it, over a second.
    from nltk.stem.snowball import SnowballStemmer

    return SnowballStemmer("english")
