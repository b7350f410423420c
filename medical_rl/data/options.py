"""Answer options of multiple-choice questions, cleaned once and for all readers.

An answer is read as the option that it equals, case aside, and a letter may stand for an option. Options that
these rules cannot tell apart would reward a wrong answer: equal ones are one option, and a row with an option
that is another's letter is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable

from medical_rl.parsing.text import visible

LETTERS = "ABCDEFGHIJ"


class BadOptions(ValueError):
    """Options or an answer that cannot be used; its message is the reason."""


def clean(options: Iterable, lettered: bool = True) -> tuple[str, ...]:
    """The options in order, absent and empty ones left out and repeated ones kept once; BadOptions if unusable.

    lettered  whether an answer may be a letter, so that there are 2 to 10; classes of a label are not

    >>> clean(["Yes.", None, "No", "yes"])
    ('Yes.', 'No')
    >>> clean(["<5 mm", ">5 mm"])
    ('<5 mm', '>5 mm')
    >>> clean(["CT"])
    Traceback (most recent call last):
    ...
    medical_rl.data.options.BadOptions: it has 1 different options, not 2 to 10
    """
    kept: dict[str, str] = {}
    for option in options:
        if option is not None and str(option).strip():
            kept.setdefault(_same(option), str(option).strip())
    cleaned = tuple(kept.values())
    if lettered and not 2 <= len(cleaned) <= len(LETTERS):
        raise BadOptions(f"it has {len(cleaned)} different options, not 2 to {len(LETTERS)}")
    letters = list(LETTERS[: len(cleaned)]) if lettered else []
    if any(
        option.upper() in letters and option.upper() != letter
        for letter, option in zip(letters, cleaned, strict=False)
    ):
        raise BadOptions("one of its options reads as the letter of another")
    return cleaned


def matching(answer, options: tuple[str, ...]) -> str:
    """The option that the answer's text means, whatever its case or final dot; BadOptions where none does.

    >>> matching("fundus photography.", ("CT", "Fundus photography"))
    'Fundus photography'
    """
    for option in options:
        if answer is not None and _same(option) == _same(answer):
            return option
    raise BadOptions("its answer is none of its options")


def by_letter(letter, options: list) -> str:
    """The option at a letter, of the options as the source lists them; BadOptions where there is none.

    >>> by_letter(" b ", ["CT", "MRI"])
    'MRI'
    """
    index = LETTERS.find(str(letter).strip().upper() or "?")
    if index < 0 or len(str(letter).strip()) != 1 or index >= len(options) or not options[index]:
        raise BadOptions("its answer is the letter of no option")
    return str(options[index])


def _same(text) -> str:
    """What two spellings of one option share: case, spaces, marks that cannot be seen and a final dot aside."""
    return " ".join(visible(str(text)).casefold().split()).rstrip(". ")
