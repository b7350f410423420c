"""The lexicon: medical terms with their other names (lexicon.yaml), and where words name them.

Terms are found by word, whatever their endings: "mass" is not in "massive". What is said of another organ is
another finding: a thyroid nodule is no nodule of the lung.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from medical_rl.parsing.text import stem, words

_GROUPS = yaml.safe_load(Path(__file__).with_name("lexicon.yaml").read_text(encoding="utf-8"))
PICTURES: dict[str, list[str]] = _GROUPS["pictures"]
# {concept: its other names}
LEXICON: dict[str, list[str]] = _GROUPS["chest"] | _GROUPS["eye"] | _GROUPS["diseases"] | PICTURES
ORGANS, IN_ANY_ORGAN = frozenset(_GROUPS["other_organs"]), frozenset(_GROUPS["in_any_organ"])
_JOINERS = ("and", "or", "nor")
# Stand between the words of a term and change nothing: "blunting of the left costophrenic angle".
_BETWEEN = frozenset(["the", "a", "an", "left", "right", "both", "bilateral"])


class Mention(NamedTuple):
    """A concept that words[start:end] name."""

    concept: str
    start: int
    end: int


def mentions(clause: Sequence[str]) -> list[Mention]:
    """The concepts in lower-case words, in order; the longest at each word takes its words.

    >>> [m.concept for m in mentions(words("massive pleural or pericardial effusions and an enlarged heart"))]
    ['pleural effusion', 'pericardial effusion', 'cardiomegaly']
    >>> [m.concept for m in mentions(words("a thyroid nodule"))]
    ['thyroid nodule']
    """
    places = [index for index, word in enumerate(clause) if word not in _BETWEEN]
    stems = tuple(map(stem, map(clause.__getitem__, places)))
    concepts, longest = _concepts_by_stems()
    found: list[Mention] = []
    start = 0
    while start < len(stems):
        end = min(start + longest, len(stems))
        while end > start and stems[start:end] not in concepts:
            end -= 1
        if end > start:
            mention = Mention(concepts[stems[start:end]], places[start], places[end - 1] + 1)
            shared = _sharing(stems, start, end)
            if shared:
                while found and found[-1].end > places[start - 2]:
                    found.pop()
                found.append(Mention(shared, places[start - 2], places[start - 2] + 1))
            found.append(_with_organ(mention, clause))
        start = max(end, start + 1)
    return found


def _sharing(stems: tuple[str, ...], start: int, end: int) -> str | None:
    """The concept that shares the last word of a term: "pleural" of "pleural or pericardial effusion"."""
    if end - start > 1 and start > 1 and stems[start - 1] in _JOINERS:
        return _concepts_by_stems()[0].get((stems[start - 2], stems[end - 1]))
    return None


def _with_organ(mention: Mention, clause: Sequence[str]) -> Mention:
    """The mention, named with the other organ that it is of: the word before it, or "of the ..." after it."""
    if mention.concept not in IN_ANY_ORGAN:
        return mention
    before = clause[mention.start - 1] if mention.start else ""
    after = [word for word in clause[mention.end : mention.end + 5] if word not in _BETWEEN]
    organ = after[1] if len(after) > 1 and after[0] in ("of", "in") else ""
    for one in (before, organ):
        if one in ORGANS:
            return mention._replace(concept=f"{one} {mention.concept}")
    return mention


@functools.cache
def last_stems(concept: str) -> frozenset[str]:
    """The stems that a concept's names end with: a text without any of them does not name it.

    >>> sorted(last_stems("diaphragm"))
    ['diaphragm', 'diaphragmat']
    """
    return frozenset(stems[-1] for stems, name in _concepts_by_stems()[0].items() if name == concept)


@functools.cache
def _concepts_by_stems() -> tuple[dict[tuple[str, ...], str], int]:
    """{stems: concept}, and the most words one has; a concept's own name beats another's way of writing."""
    ways = [(way, name) for name, others in LEXICON.items() for way in others]
    ways += [(name, name) for name in LEXICON]
    concepts = {}
    for way, name in ways:
        plain = [word for word in words(way.replace("-", " ").casefold()) if word not in _BETWEEN]
        concepts[tuple(map(stem, plain))] = name
    return concepts, max(map(len, concepts))
