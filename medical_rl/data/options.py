"""Answer options of multiple-choice questions, cleaned once and for all readers.

An answer is read as the option that it equals, case aside, and a letter may stand for an option. Options that
these rules cannot tell apart would reward a wrong answer: equal ones are one option, and a row with an option
that is another's letter is dropped.
"""

import math
from collections.abc import Iterable, Mapping

from medical_rl.parsing.kinds import LETTERS
from medical_rl.parsing.response import gold
from medical_rl.parsing.text import visible
from medical_rl.sample import Sample


class BadOptions(ValueError):
    """Options or an answer that cannot be used; its message is the reason."""


def is_empty(cell) -> bool:
    """Whether a cell holds nothing: None, blank text, or the NaN that pandas writes for nothing.

    >>> [is_empty(cell) for cell in (None, " ", float("nan"), 0, "nan")]
    [True, True, True, False, False]
    """
    if isinstance(cell, float):
        return math.isnan(cell)
    return cell is None or (isinstance(cell, str) and not cell.strip())


def text_of(cell, what: str) -> str:
    """The text of a cell, "" of an empty one; a whole number that is stored as 3.0 is "3".

    Raises BadOptions for an object or a list, which is no text.

    >>> text_of(" CT ", "answer"), text_of(3.0, "answer"), text_of(None, "answer")
    ('CT', '3', '')
    """
    if isinstance(cell, Mapping | list | tuple | set | bytes):
        called = "bytes" if isinstance(cell, bytes) else "a list"
        raise BadOptions(f"{what} is {'an object' if isinstance(cell, Mapping) else called} and not text")
    if is_empty(cell):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def clean_options(options: Iterable, lettered: bool = True) -> tuple[str, ...]:
    """The options in order, absent and empty ones left out and repeated ones kept once.

    lettered  whether an answer may be a letter, so that there are 2 to 26; classes of a label are not

    Raises BadOptions where they cannot be used.

    >>> clean_options(["Yes.", None, "No", "yes"]), clean_options(["<5 mm", ">5 mm"])
    (('Yes.', 'No'), ('<5 mm', '>5 mm'))
    """
    by_spelling: dict[str, str] = {}
    for option in options:
        text = text_of(option, "an option")
        if text:
            by_spelling.setdefault(_spelling(text), text)
    cleaned = tuple(by_spelling.values())
    if not lettered:
        return cleaned
    if not 2 <= len(cleaned) <= len(LETTERS):
        raise BadOptions(f"it has {len(cleaned)} different options, not 2 to {len(LETTERS)}")
    letters = LETTERS[: len(cleaned)]
    for letter, option in zip(letters, cleaned, strict=True):
        if option.upper() in list(letters) and option.upper() != letter:
            raise BadOptions("one of its options reads as the letter of another")
    return cleaned


def matching_option(answer, options: tuple[str, ...]) -> str:
    """The option that the answer's text means, whatever its case or final dot; BadOptions where none does."""
    spelling = _spelling(text_of(answer, "its answer"))
    for option in options:
        if spelling and _spelling(option) == spelling:
            return option
    raise BadOptions("its answer is none of its options")


def option_at_letter(letter, options: list) -> str:
    """The option at a letter, of the options as the source lists them; BadOptions where there is none."""
    name = text_of(letter, "its answer").upper()
    index = LETTERS.find(name) if len(name) == 1 else -1
    if index < 0 or index >= len(options) or not options[index]:
        raise BadOptions("its answer is the letter of no option")
    return str(options[index])


def answer_key(sample: Sample) -> str:
    """What answers share that a reward takes for one ("No", "no"); the answer itself where it is not read.

    >>> row = {"id": "1", "source": "demo", "question": "?", "kind": "grade"}
    >>> answer_key(Sample(answer="3.0", **row)) == answer_key(Sample(answer="3", **row))
    True
    """
    return gold(sample) or sample.answer


def _spelling(text: str) -> str:
    """What spellings of an option share: case, spaces, invisible marks and a final dot aside."""
    return " ".join(visible(text).casefold().split()).rstrip(". ")
