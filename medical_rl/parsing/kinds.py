"""One reader a kind: the canonical answer in a final answer's text, or None where it holds none.

A reader takes (text, choices, question). What is outside the kind's range is no answer: a letter beyond the
options, a grade that is none of the choices or outside the "from 0 to 4" of the question. Boxes: `box_text`.
"""

import re
from collections.abc import Sequence

from medical_rl.parsing.box_text import box
from medical_rl.parsing.text import clean, label_key, option_set

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTER = re.compile(
    r"(?:(?:option|choice|answer)\s*:?\s*)?"
    r"(?:[(\[]\s*([A-Za-z])\s*[)\]]\s*[.:,\-–—]?"
    r"|([A-Za-z])(?:[\"'”’]?\s*[).:\],、=]|\s+[-–—](?=\s)|[ \t]*(?=\n|\()|(?=\s*$)"
    r"|(?=\s+(?:is|because|since)\b)))"
    r"\s*(.*)",
    re.DOTALL | re.IGNORECASE,
)
# what may follow a letter in place of its own text: that it is right, or why
_REASON = re.compile(
    r"(?:is\s+(?:the\s+)?(?:correct|right|best)(?:\s+(?:answer|option|choice|one))?(?:\W|$)"
    r"|because\b|since\b|here\s+is\s+why\b|here's\s+why\b|explanation\b|reason(?:ing)?\b)",
    re.IGNORECASE,
)
# after an option's text, or in the reason for a letter, these take it back
_OF_TEXT = frozenset(["wrong", "incorrect", "false", "excluded", "unlikely"])
_REJECTS = _OF_TEXT | {"not", "but", "however", "though", "although", "actually", "wait", "instead", "rather"}

_GRADE = re.compile(
    r"(?:the\s+)?(?:severity\s+)?(?:(?:grade|level|score|class|stage|severity)\b-?)?\s*(?:is\b|[:=])?\s*"
    r"([-+]?\d+)(?:\.0+)?\s*(?:\([^\d()]*\)|[-–—:,]\s*[^\d]+)?",
    re.IGNORECASE,
)
_GRADE_WORD = r"(?:grade|level|score|class|stage|severity|category)"
# "3 of 6" names the top of a scale, "DR grade 2 retinopathy" or "score of 3" the grade, "mild (1)" a gloss
_OF_SCALE = re.compile(
    rf"(?:{_GRADE_WORD}(?:\s*(?:of|is|[:=-]))?\s*)?(\d+)(?:\s+points)?\s*\(?(?:/|out\s+of|of)\s*(\d+)\)?",
    re.IGNORECASE,
)
_IN_WORDS = re.compile(
    rf"(?:[^\W\d]+[ ,-]+){{0,6}}?{_GRADE_WORD}(?:\s*(?:of|is|[:=-]))?\s*(\d+)((?:[ ,-]+[^\W\d]+){{0,8}})",
    re.IGNORECASE,
)
_GLOSSED = re.compile(r"[^\W\d]+(?:[ ,-]+[^\W\d]+){0,5} ?\((?:grade )?(\d+)\)", re.IGNORECASE)
_COUNTED = re.compile(
    r"(?:there\s+(?:is|are)|i\s+(?:see|count)|it\s+shows|the\s+(?:image|picture)\s+shows)?\s*(?:a\s+total\s+of\s+)?"
    r"(\d+)\s+([^\W\d]+)(?:\s+[^\W\d]+){0,6}",
    re.IGNORECASE,
)
_TOTAL = re.compile(
    r"(?:the\s+)?(?:total|(?:total\s+)?(?:number|count)(?:\s+of(?:\s+[^\W\d]+){1,5})?)\s*(?:is|[:=])\s*(\d+)",
    re.IGNORECASE,
)
# a text with one of these does not state the one number in it
_HEDGES = frozenset([
    "no", "not", "never", "without", "or", "to", "between", "than", "least", "most", "above", "below",
    "under", "over", "about", "if", "versus", "vs", "rather", "instead", "excluded", "unlikely",
    "incorrect", "wrong", "false", "possible", "possibly", "maybe", "previous", "prior", "previously",
    "was", "were",
])  # fmt: skip
# what a number of these is, is no grade and no count of what is asked
_UNITS = frozenset([
    "mm", "cm", "m", "um", "nm", "ml", "l", "cc", "mg", "g", "kg", "mmhg", "hz", "khz", "ms", "s", "sec",
    "second", "seconds", "min", "minute", "minutes", "h", "hour", "hours", "day", "days", "week",
    "weeks", "month", "months", "year", "years", "yr", "yrs", "percent", "degree", "degrees", "pixel",
    "pixels", "px", "x", "hu", "bpm", "st", "nd", "rd", "th",
])  # fmt: skip
_SCALE = re.compile(
    r"\b(?:from|between|scale|grades?|levels?)\s+\(?(\d+)\s*(?:to|and|-|–)\s*(\d+)\b", re.IGNORECASE
)

# words that can follow the verdict "no"; before any other word it is a determiner ("no abnormality")
_AFTER_NO = frozenset([
    "it", "there", "this", "the", "they", "she", "he", "i", "that", "these", "those", "no",
])  # fmt: skip
# after the determiner: what says nothing of its own, and what makes "no ..." another statement than a denial
_GENERAL = frozenset([
    "evidence", "sign", "signs", "indication", "suggestion", "of", "any", "a", "an", "the", "for",
    "definite", "obvious", "visible", "abnormality", "abnormalities", "is", "are", "was", "were", "seen",
    "identified", "detected", "found", "noted", "present", "visualised", "visualized", "demonstrated",
    "in", "on", "this", "image", "scan", "film", "picture", "radiograph", "x", "ray", "chest",
])  # fmt: skip
_NO_DENIAL = frozenset([
    "longer", "doubt", "question", "idea", "answer", "wonder", "more", "less", "change", "interval",
    "improvement", "resolution", "decrease", "increase", "difference", "image", "information", "comment",
    "way", "other", "additional", "new", "further", "only", "large", "but", "however", "although",
    "except", "despite", "hay", "es", "se", "puede",
])  # fmt: skip
# a question after one of these is answered "yes" by a denial
_NORMAL = re.compile(
    r"\b(?:normal|clear|unremarkable|intact|healthy|free|absen\w+|without|no|not|exclude\w*|rule\w*\s+out"
    r"|stable|lack\w*|negative)\b"
)
_WORD = re.compile(r"[^\W\d_]+")


def label(text: str, choices: Sequence[str] = (), question: str = "") -> str | None:
    """The class named; another text as it stands; without choices its key for comparison."""
    whole = _whole_choice(text, choices)
    if whole is not None:
        return whole
    words = clean(text)
    return (words if choices else option_set(words)) or None


def choice(text: str, choices: Sequence[str] = (), question: str = "") -> str | None:
    """An option by its text or letter (alone, with that text or a reason); another text as it stands."""
    whole = _whole_choice(text, choices)
    if whole is not None:
        return whole
    words = clean(text)
    match = _LETTER.fullmatch(words)
    if not match:
        return _letter_before_its_text(words, choices) or _verdict(words, choices) or words or None
    letter, rest = (match[1] or match[2]).upper(), match[3]
    index = LETTERS.find(letter)
    if not 0 <= index < len(choices):
        return words if rest else None
    if rest.startswith("(") and rest.endswith(")"):
        rest = rest[1:-1]
    own, key = label_key(choices[index]), label_key(rest)
    if not key:
        return None if rest else choices[index]
    if key == own:
        return choices[index]
    is_prose = re.match(r".{1,20}\n", words) and len(key.split()) > 2 and own not in key
    if _REASON.match(rest) or is_prose:
        return choices[index] if _only_reasons(rest, index, choices) else None
    if not f"{key} ".startswith(f"{own} "):
        return None
    for i, other in enumerate(choices):
        if i != index and re.search(rf"\b{LETTERS[i]}\s*[.):]\s*{re.escape(other)}", rest, re.IGNORECASE):
            return None  # another option with its letter too: the list was repeated, nothing chosen
    for other in map(label_key, choices):
        if other != own and other.startswith(own) and f"{key} ".startswith(f"{other} "):
            return None  # the text is a longer option's
    more = key[len(own) :].split()
    return None if more[0] in ("and", "or") or _OF_TEXT.intersection(more) else choices[index]


def _letter_before_its_text(words: str, choices: Sequence[str]) -> str | None:
    """The option of "B Normal" or "B-Normal", where the text is the letter's own."""
    match = re.fullmatch(r"([A-Za-z])[ -](.+)", words, re.DOTALL)
    index = LETTERS.find(match[1].upper()) if match else -1
    if not 0 <= index < len(choices) or label_key(match[2]) != label_key(choices[index]):
        return None
    return choices[index]


def _verdict(words: str, choices: Sequence[str]) -> str | None:
    """The option "Yes" or "No", where there are these two, of a sentence that opens with it and a comma."""
    options = {label_key(choice): choice for choice in choices}
    if set(options) != {"yes", "no"} or not re.match(r"(?:yes|no)[,.;:!]", words, re.IGNORECASE):
        return None
    return options.get(yes_no(words))


def _only_reasons(rest: str, index: int, choices: Sequence[str]) -> bool:
    """Whether what follows a letter takes it back by no word, and names no other option or letter."""
    key = label_key(rest)
    if _REJECTS.intersection(key.split()) or "?" in rest:
        return False
    for i, other in enumerate(map(label_key, choices)):
        # "A" and "I" before a word are no letters of options
        letter = rf"(?<!\w){LETTERS[i]}(?!\w)" + ("(?! [a-z])" if LETTERS[i] in "AI" else "")
        if i != index and (f" {other} " in f" {key} " or re.search(letter, rest)):
            return False
    return True


def _whole_choice(text: str, choices: Sequence[str]) -> str | None:
    """The choice whose text this is, as it stands or cleaned.

    Letter by letter first, then by `label_key` and by `option_set`, which must fit one text only.
    """
    for form in (text, clean(text)):
        exact = _folded(form)
        for choice in choices:
            if _folded(choice) == exact:
                return choice
        for key, key_of in ((label_key(form), label_key), (option_set(form), _listed)):
            fitting = [choice for choice in choices if key and key_of(choice) == key]
            if fitting and len(set(map(_folded, fitting))) == 1:
                return fitting[0]
    return None


def _listed(choice: str) -> str | None:
    """The `option_set` of an option that lists its parts with commas; None for any other."""
    return option_set(choice) if re.search(r"[,;]", choice) else None


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def yes_no(text: str, choices: Sequence[str] = (), question: str = "") -> str | None:
    """ "yes" or "no" where that word leads the answer and the other is not given too.

    "No effusion" and "No evidence of it" deny what is asked: "no", unless the question asks for what is
    normal, or for something that the denial does not name.
    """
    words = clean(text).casefold()
    match = re.match(r"(yes|no)(?!\w)(?!-\w)", words)
    if not match:
        return None
    rest = words[match.end() :]
    gap = re.match(r"\s*", rest)[0]
    after = rest[len(gap) :]
    if match[1] == "no":
        word = re.match(r"\w+", after)
        if word and "\n" not in gap and word[0] not in _AFTER_NO:
            return "no" if _denies(after, question) else None
        return None if re.search(r"\byes\b", rest) else "no"
    if re.match(r"(?:or|and|/|&)\s*no\b", after) or re.search(r"(?:\bor\b|/)\s*no\b", rest):
        return None
    # "no" by itself, at the end of a clause: a second verdict, not a determiner
    return None if re.search(r"\bno\s*(?:$|\n|[^\w\s-]|-(?!\w))", rest) else "yes"


def _denies(phrase: str, question: str) -> bool:
    """Whether "no <phrase>", one plain clause, denies what the question asks."""
    words = _WORD.findall(phrase)
    if re.search(r"[.,;:!?\n]", phrase.rstrip(" .!")) or "yes" in words or _NO_DENIAL.intersection(words):
        return False
    question = re.sub(r"\byes\s*(?:or|/)\s*no\b", " ", question.casefold())
    asked = _WORD.findall(question)
    if not asked:
        return True
    named = [word for word in words if word not in _GENERAL]
    return not _NORMAL.search(question) and all(_is_asked(word, asked) for word in named)


def _is_asked(word: str, asked: Sequence[str]) -> bool:
    """Whether a word stands in the question, in the singular or the plural."""
    return any(one in (word, f"{word}s", f"{word}es") or word in (f"{one}s", f"{one}es") for one in asked)


def grade(text: str, choices: Sequence[str] = (), question: str = "") -> str | None:
    """The digits of the one integer given: alone, after a word as "grade", of a scale, glossed, counted."""
    words = clean(text)
    match = _GRADE.fullmatch(words)
    number = match[1] if match else _stated_number(words, question)
    if number is None or len(number) > 18:
        return None
    value = int(number)
    low, high = grade_range(choices, question)
    return str(value) if low <= value <= high else None


def grade_range(choices: Sequence[str], question: str) -> tuple[float, float]:
    """(lowest, highest) grade there is: of the choices, else of the question; no limit where neither says it.

    >>> grade_range((), "Grade the retinopathy, from 0 to 4."), grade_range((), "How many nodules?")
    ((0, 4), (0, inf))
    """
    grades = [int(choice) for choice in choices if re.fullmatch(r"-?\d{1,18}", choice)]
    if grades and len(grades) == len(choices):
        return min(grades), max(grades)
    scale = _SCALE.search(question)
    if scale:
        return int(scale[1]), int(scale[2])
    return (0 if re.search(r"\bhow many\b", question, re.IGNORECASE) else -float("inf")), float("inf")


def _stated_number(words: str, question: str) -> str | None:
    """The digits of a number that a sentence states as the grade or count; None where it may mean else."""
    if _HEDGES.intersection(_WORD.findall(words.casefold())):
        return None
    scale = _OF_SCALE.fullmatch(words)
    if scale:
        top = grade_range((), question)[1]
        return scale[1] if int(scale[1]) <= int(scale[2]) and top in (int(scale[2]), float("inf")) else None
    named = _IN_WORDS.fullmatch(words)
    if named:
        after = _WORD.findall(named[2].casefold())
        return None if after and after[0] in _UNITS else named[1]
    glossed = _GLOSSED.fullmatch(words)
    if glossed:
        return glossed[1]
    total = _TOTAL.fullmatch(words)
    if total:
        return total[1]
    counted = _COUNTED.fullmatch(words)
    if not counted or counted[2].casefold() in _UNITS:
        return None
    asked = _WORD.findall(question.casefold())
    return counted[1] if not asked or _is_asked(counted[2].casefold(), asked) else None


__all__ = ["LETTERS", "box", "choice", "grade", "grade_range", "label", "yes_no"]
