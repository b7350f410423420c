"""One reader a kind: the canonical answer in a final answer's text, or None where it holds none.

Boxes come as JSON, objects with corners, pairs of points, or bare numbers.
"""

import json
import math
import re
import unicodedata
from collections.abc import Sequence

from medical_rl.parsing.text import clean, label_key, visible

LETTERS = "ABCDEFGHIJ"
_LETTER = re.compile(
    r"(?:(?:option|choice|answer)\s*:?\s*)?"
    r"(?:[(\[]\s*([A-Za-z])\s*[)\]]\s*[.:,\-–—]?"
    r"|([A-Za-z])(?:\s*[).:\],]|\s+[-–—](?=\s)|[ \t]*(?=\n|\()|(?=\s*$)))"
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

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_SEPARATOR = r"(?:\s*,\s*|\s+)"
_FOUR = _SEPARATOR.join([f"({_NUMBER})"] * 4)
_KEYS = frozenset(["bbox_2d", "bbox", "box", "boxes", "bboxes", "bbox2d", "bounding_box"])
_LIST = rf"(?:[\"'](?P<key>\w+)[\"']\s*:\s*)?[\[(]\s*{_FOUR}\s*[\])]"
_POINT = rf"\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)"
_CORNERS = (["x1", "y1", "x2", "y2"], ["xmin", "ymin", "xmax", "ymax"])
_NAME, _IS = r"\b(?:x1|y1|x2|y2|x_?min|y_?min|x_?max|y_?max)", r"[\"']?\s*[:=]\s*"
_CORNER = re.compile(rf"({_NAME}){_IS}({_NUMBER})(?![\w.])", re.IGNORECASE)
_ONE = rf"{_NAME}{_IS}{_NUMBER}(?![\w.])"
# an object, or a run of named corners in prose ("x1=3, y1=4, x2=9, y2=8")
_NAMED = rf"(?P<named>\{{[^{{}}\[\]]*\}}|{_ONE}(?:[\s,;]*(?:and\s+)?{_ONE}){{3}})"
_BOX = re.compile(rf"{_LIST}|{_POINT}\s*,?\s*{_POINT}|{_NAMED}", re.IGNORECASE)
_BARE = re.compile(_FOUR)


def label(text: str, choices: Sequence[str]) -> str | None:
    """The class named; another text as it stands; without choices its key for comparison."""
    whole = _whole_choice(text, choices)
    if whole is not None:
        return whole
    words = clean(text)
    return (words if choices else label_key(words)) or None


def choice(text: str, choices: Sequence[str]) -> str | None:
    """An option by its text, or by its letter alone or with that text; another text as it stands."""
    whole = _whole_choice(text, choices)
    if whole is not None:
        return whole
    words = clean(text)
    match = _LETTER.fullmatch(words)
    if not match:
        return words or None
    letter, rest = (match[1] or match[2]).upper(), match[3]
    index = LETTERS.find(letter)
    if not 0 <= index < len(choices):
        return words
    if rest.startswith("(") and rest.endswith(")"):
        rest = rest[1:-1]
    own, key = label_key(choices[index]), label_key(rest)
    if not key:
        return None if rest else choices[index]
    if key == own:
        return choices[index]
    if not f"{key} ".startswith(f"{own} "):
        return None
    for i, other in enumerate(choices):
        if i != index and re.search(rf"\b{LETTERS[i]}\s*[.):]\s*{re.escape(other)}", rest, re.IGNORECASE):
            return None  # another option with its letter too: the list was repeated, nothing chosen
    for other in map(label_key, choices):
        if other != own and other.startswith(own) and f"{key} ".startswith(f"{other} "):
            return None  # the text is a longer option's
    more = key[len(own) :].split()
    return None if more[0] in ("and", "or") or _REJECTS.intersection(more) else choices[index]


def _whole_choice(text: str, choices: Sequence[str]) -> str | None:
    """The choice whose text this is, as it stands or cleaned.

    Letter by letter first, then by `label_key`, which must fit one text only.
    """
    for form in (text, clean(text)):
        exact = _folded(form)
        for choice in choices:
            if _folded(choice) == exact:
                return choice
        key = label_key(form)
        fitting = [choice for choice in choices if key and label_key(choice) == key]
        if fitting and len(set(map(_folded, fitting))) == 1:
            return fitting[0]
    return None


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def yes_no(text: str, choices: Sequence[str] = ()) -> str | None:
    """ "yes" or "no" where that word leads the answer and the other is not given too."""
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


def box(text: str, choices: Sequence[str] = ()) -> str | None:
    """JSON of a list of [x1, y1, x2, y2], in the order given; None without a box of finite numbers."""
    plain = unicodedata.normalize("NFKC", visible(text)).replace("\u2212", "-")
    boxes = list(filter(_is_box, map(_numbers, _BOX.finditer(plain))))
    bare = _BARE.fullmatch(clean(text))
    if not boxes and bare:
        boxes = list(filter(_is_box, [list(map(float, bare.groups()))]))
    return json.dumps(boxes) if boxes else None


def _numbers(match: re.Match) -> list[float]:
    """The numbers of one match; [] where it is no box: another key's list, or corners missing."""
    if match["named"] is None:
        if match["key"] is not None and match["key"].lower() not in _KEYS:
            return []
        # those of the list and of the two points, between the key and the corners
        groups = match.groups()[1:9]
        return list(map(float, filter(None, groups)))
    values = {}
    for name, value in _CORNER.findall(match["named"]):
        values[name.lower().replace("_", "")] = float(value)
    for corners in _CORNERS:
        if set(corners) <= set(values):
            return [values[name] for name in corners]
    return []


def _is_box(numbers: Sequence[float]) -> bool:
    return len(numbers) == 4 and all(map(math.isfinite, numbers))
