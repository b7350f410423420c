"""Texts changed: taken apart into thought and answer, worded anew in synonyms, or with phrases deleted."""

import dataclasses
import functools
import re
from collections.abc import Collection, Iterator

from medical_rl.data.concepts import LEXICON
from medical_rl.parsing.response import boxed_contents, parse, read
from medical_rl.reward_model.grading.synonyms import Synonyms, protected_words
from medical_rl.rewards.terms.accuracy import right
from medical_rl.sample import Sample

NEGATIONS, SIDES, DOUBTS, NUMBERS, GRAMMAR = map(
    protected_words, ("negations", "sides", "doubts", "numbers", "grammar")
)
PROTECTED = NEGATIONS | SIDES | DOUBTS | NUMBERS | GRAMMAR
LEAST, MOST = 0.4, 0.7  # share of the thought's words that is deleted
LONGEST = 4  # words of one deleted phrase
TRIES = 8
# What else is lost, with its share: nothing, the answer, or all from some place after the thought on.
DAMAGE = {"none": 0.5, "answer": 0.25, "end": 0.25}
_THOUGHT = re.compile(r"<think>(.*)</think>", re.DOTALL | re.IGNORECASE)
_TAGGED = re.compile(r"<answer>((?:(?!<answer>).)*)</answer>", re.DOTALL | re.IGNORECASE)
_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_TAG = re.compile(r"<[^<>]*>|\\[a-zA-Z]+")
_VOWEL = re.compile(r"(?!uni|use|usu|eu|one|once)[aeiou]|hour|honest", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Parts:
    """`head + thought + middle + answer + tail` is the response; thought or answer may be ""."""

    head: str
    thought: str
    middle: str
    answer: str
    tail: str

    @property
    def text(self) -> str:
        """The response put together."""
        return self.head + self.thought + self.middle + self.answer + self.tail

    def with_thought(self, thought: str) -> str:
        """The response with another thought."""
        return dataclasses.replace(self, thought=thought).text


def split(text: str) -> Parts:
    r"""The parts of a response.

    Without think tags all before the answer's mark is thought; a text without marks is an answer.

    >>> split("<think>a disc</think> \\boxed{2}")
    Parts(head='<think>', thought='a disc', middle='</think> \\boxed{', answer='2', tail='}')
    >>> split("A disc. <answer>2</answer>").thought, split("2").answer
    ('A disc.', '2')
    """
    match = _THOUGHT.search(text)
    after = match.end() if match else 0
    # the last answer mark's content; without a mark, all that follows the thought
    spans = [tagged.span(1) for tagged in _TAGGED.finditer(text, after)]
    for content in boxed_contents(text[after:])[-1:]:
        opening = text.rfind("{" + content + "}") + 1
        spans.append((opening, opening + len(content)))
    start, end = max(spans, key=lambda span: span[1], default=(after, len(text)))
    if match:
        head, thought = text[: match.start(1)], match[1]
    else:
        head, thought = "", re.split(r"<answer>|\\boxed", text[:start], flags=re.IGNORECASE)[0].rstrip()
    middle = text[len(head + thought) : start]
    return Parts(head, thought, middle, text[start:end], text[end:])


def delete(text: str, sample: Sample, rng) -> str | None:
    """`text` without some phrases of its thought, often without answer or end; None if it cannot be.

    Phrases are taken from within the thought, so that what is left does not read as a shorter report. A
    negation stays: without it a sentence would be whole and false, which is another grade. A full thought
    with the right answer is never given back.
    """
    parts = split(text)
    for _ in range(TRIES):
        torn = dataclasses.replace(parts, thought=_with_holes(parts.thought, rng))
        damage = str(rng.choice(list(DAMAGE), p=list(DAMAGE.values())))
        remaining, end = torn.text, torn.middle + torn.answer + torn.tail
        if damage == "answer":
            remaining = dataclasses.replace(torn, answer="").text
        elif damage == "end" and end:
            remaining = torn.head + torn.thought + end[: int(rng.integers(len(end)))]
        remaining = remaining.rstrip()
        whole = right(read(parse(remaining), sample), sample) and parts.thought.strip() in remaining
        if remaining and remaining != text and not whole:
            return remaining
    return None


def _with_holes(thought: str, rng) -> str:
    """The thought without phrases of 1 to LONGEST words, its first and last word kept."""
    words = re.findall(r"\S+\s*", thought)
    deletable = set()
    for i, word in enumerate(words[1:-1], start=1):
        if word.strip(" \t\r\n.,;:!?()").lower() not in NEGATIONS:
            deletable.add(i)
    wanted = min(len(deletable), max(1, round(rng.uniform(LEAST, MOST) * len(words))))
    deleted: set[int] = set()
    while len(deleted) < wanted:
        start = int(rng.choice(sorted(deletable)))
        length = min(int(rng.integers(1, LONGEST + 1)), wanted - len(deleted))
        phrase = deletable.intersection(range(start, start + length))
        deleted |= phrase
        deletable -= phrase
    return "".join(word for i, word in enumerate(words) if i not in deleted)


def reword(text: str, synonyms: Synonyms, rng, share: float = 0.5, kept: Collection[str] = ()) -> str | None:
    """`text` with `share` of the places that have a synonym, at least one, worded anew; None without one.

    kept  words that stay, and that no synonym may bring in (the answer's and the choices'), lower case

    Tags, numbers, negations, sides and doubts stay; so do the names of findings that are in the lexicon of
    `data.concepts`, which a phrase of the table may replace whole. The case of the first letter, or of all, is
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
        old, new = text[start:end], ways[int(rng.integers(len(ways)))]
        article = r"(?<![\w'’.])([aA])[nN]?(\s+)$"
        pieces.append(re.sub(article, r"\1n\2" if _VOWEL.match(new) else r"\1\2", text[position:start]))
        if old.isupper() and len(old) > 1:
            new = new.upper()
        elif old[0].isupper():
            new = new[0].upper() + new[1:]
        pieces.append(new)
        position = end
    return "".join(pieces) + text[position:]


def _places(
    text: str, synonyms: Synonyms, held: frozenset[str]
) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """(start, end, synonyms) of what can be replaced, longest phrase first, none overlapping another."""
    words = list(_WORD.finditer(text))
    tags = list(map(re.Match.span, _TAG.finditer(text)))
    longest = max(synonyms.longest, max(map(len, map(str.split, _long_names()))))
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
            if ways or (length > 1 and phrase in _long_names()):
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
def _long_names() -> frozenset[str]:
    """The names of two words and more in the lexicon: "optic disc" is not taken apart."""
    names = set()
    for name, others in LEXICON.items():
        for way in [name] + list(others):
            if " " in way:
                names.update((way, f"{way}s"))
    return frozenset(names)
