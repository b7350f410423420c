"""One reader a kind: the canonical answer in a final answer's text, or None where it holds none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from medical_rl.parsing.text import clean, label_key

LETTERS = "ABCDEFGHIJ"
_LETTER = re.compile(
    r"(?:(?:option|choice|answer)\s*:?\s*)?"
    r"(?:[(\[]\s*([A-Za-z])\s*[)\]]\s*[.:,\-–—]?|([A-Za-z])(?:\s*[).:\],]|\s+[-–—](?=\s)|[ \t]*(?=\n|\()|(?=\s*$)))"
    r"\s*(.*)",
    re.DOTALL | re.IGNORECASE,
)
_GRADE = re.compile(
    r"(?:the\s+)?(?:severity\s+)?(?:(?:grade|level|score|class|stage|severity)\b-?)?\s*(?:is\b|[:=])?\s*"
    r"([-+]?\d+)(?:\.0+)?\s*(?:\([^\d()]*\)|[-–—:,]\s*[^\d]+)?",
    re.IGNORECASE,
)
# after an option's text these take it back
_REJECTS = frozenset(["wrong", "incorrect", "false", "excluded", "unlikely"])
# words that can follow the verdict "no"; before any other word it is a determiner ("no abnormality")
_AFTER_NO = frozenset(["it", "there", "this", "the", "they", "she", "he", "i", "that", "these", "those"])


def label(text: str, choices: Sequence[str]) -> str | None:
    """The class named, and no more than named; another text as it stands; without choices its key for comparison."""
    for form in (text, clean(text)):
        if (choice := _whole(form, choices)) is not None:
            return choice
    return (clean(text) or None) if choices else (label_key(clean(text)) or None)


def _whole(text: str, choices: Sequence[str]) -> str | None:
    """The choice whose text this is: letter by letter first, then by `label_key`, which must fit one text only."""
    exact = " ".join(text.casefold().split())
    for choice in choices:
        if " ".join(choice.casefold().split()) == exact:
            return choice
    asked = label_key(text)
    found = [choice for choice in choices if asked and label_key(choice) == asked]
    return found[0] if found and len({" ".join(c.casefold().split()) for c in found}) == 1 else None


def choice(text: str, choices: Sequence[str]) -> str | None:
    """An option by its text, or by its letter alone or with that text; another text as it stands."""
    for form in (text, clean(text)):
        if (whole := _whole(form, choices)) is not None:
            return whole
    said = clean(text)
    match = _LETTER.fullmatch(said)
    if not match:
        return said or None
    letter, rest = (match[1] or match[2]).upper(), match[3]
    index = LETTERS.find(letter)
    if not 0 <= index < len(choices):
        return said
    if rest.startswith("(") and rest.endswith(")"):
        rest = rest[1:-1]
    own, given = label_key(choices[index]), label_key(rest)
    if not given:
        return choices[index] if not rest else None
    if given == own:
        return choices[index]
    others = [label_key(c) for c in choices if label_key(c) != own]
    longer = any(o.startswith(own) and f"{given} ".startswith(f"{o} ") for o in others)
    if not f"{given} ".startswith(f"{own} ") or longer or _second_letter(rest, index, choices):
        return None
    more = given[len(own) :].split()
    return None if more[0] in ("and", "or") or _REJECTS.intersection(more) else choices[index]


def _second_letter(rest: str, index: int, choices: Sequence[str]) -> bool:
    """True if another option is named with its letter in the rest: the list was repeated, nothing was chosen."""
    for i, other in enumerate(choices):
        if i != index and re.search(rf"\b{LETTERS[i]}\s*[.):]\s*{re.escape(other)}", rest, re.IGNORECASE):
            return True
    return False


def yes_no(text: str, choices: Sequence[str] = ()) -> str | None:
    """ "yes" or "no" where that word leads the answer and the other is not given too."""
    said = clean(text).casefold()
    match = re.match(r"(yes|no)(?!\w)(?!-\w)", said)
    if not match:
        return None
    verdict, rest = match[1], said[match.end() :]
    gap = re.match(r"\s*", rest)[0]
    after = rest[len(gap) :]
    if verdict == "no":
        word = re.match(r"\w+", after)
        if word and "\n" not in gap and word[0] not in _AFTER_NO:
            return None
        return None if re.search(r"\byes\b", rest) else "no"
    if re.match(r"(?:or|and|/|&)\s*no\b", after) or re.search(r"(?:\bor\b|/)\s*no\b", rest):
        return None
    # "no" by itself, at the end of a clause: a second verdict, not a determiner
    return None if re.search(r"\bno\s*(?:$|\n|[^\w\s-]|-(?!\w))", rest) else "yes"


def grade(text: str, choices: Sequence[str] = ()) -> str | None:
    """The digits of the one integer given, alone, after a word such as "grade", or with a gloss."""
    match = _GRADE.fullmatch(clean(text))
    return str(int(match[1])) if match and len(match[1]) < 19 else None
