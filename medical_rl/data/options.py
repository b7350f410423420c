"""Answer options of multiple-choice questions, cleaned once and for all readers.

An answer is read as the option that it equals, case aside, and a letter may stand for an option. Options that
these rules cannot tell apart would reward a wrong answer: equal ones are one option, and a row with an option
that is another's letter is dropped.
"""

from collections.abc import Iterable

from medical_rl.parsing.kinds import LETTERS
from medical_rl.parsing.response import gold
from medical_rl.parsing.text import visible
from medical_rl.sample import Sample


class BadOptions(ValueError):
    """Options or an answer that cannot be used; its message is the reason."""


def clean_options(options: Iterable, lettered: bool = True) -> tuple[str, ...]:
    """The options in order, absent and empty ones left out and repeated ones kept once.

    lettered  whether an answer may be a letter, so that there are 2 to 26; classes of a label are not

    Raises BadOptions where they cannot be used.

    >>> clean_options(["Yes.", None, "No", "yes"]), clean_options(["<5 mm", ">5 mm"])
    (('Yes.', 'No'), ('<5 mm', '>5 mm'))
    """
    by_spelling: dict[str, str] = {}
    for option in options:
        if option is not None and str(option).strip():
            by_spelling.setdefault(_spelling(option), str(option).strip())
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
    for option in options:
        if answer is not None and _spelling(option) == _spelling(answer):
            return option
    raise BadOptions("its answer is none of its options")


def option_at_letter(letter, options: list) -> str:
    """The option at a letter, of the options as the source lists them; BadOptions where there is none."""
    name = str(letter).strip().upper()
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


def _spelling(text) -> str:
    """What spellings of an option share: case, spaces, invisible marks and a final dot aside."""
    return " ".join(visible(str(text)).casefold().split()).rstrip(". ")
