"""The cells of a user's own row, read as what the row's kind needs; BadOptions says why one is not."""

import json
import math
import re
from collections.abc import Mapping, Sequence

from medical_rl.data.options import BadOptions, clean_options, matching_option, option_at_letter
from medical_rl.parsing.response import normalise

_NUMBER = r"[-+]?\d+(?:\.\d+)?"


def items(cell) -> list:
    """What a cell lists: a list as it is, a text as JSON where it is a JSON list, else cut at "|".

    >>> items("a.png | b.png"), items('["yes, mild", "no"]'), items(None)
    (['a.png', 'b.png'], ['yes, mild', 'no'], [])
    """
    if cell is None or cell == "":
        return []
    if isinstance(cell, list | tuple):
        return list(cell)
    if not isinstance(cell, str):
        return [cell]
    if cell.lstrip().startswith("["):
        try:
            return list(json.loads(cell))
        except (json.JSONDecodeError, RecursionError) as error:
            raise BadOptions("a cell that starts with [ is not a JSON list") from error
    return list(map(str.strip, cell.split("|")))


def image_value(cell):
    """What one item of an image cell is: a path, or bytes; parquet and the Hub hold `{"bytes", "path"}`."""
    return (cell.get("bytes") or cell.get("path")) if isinstance(cell, Mapping) else cell


def whole_number(cell) -> str | None:
    """The digits of a whole number, None where it is none; spreadsheets write "2.0".

    >>> whole_number("02"), whole_number(2.0), whole_number("1.5"), whole_number("²"), whole_number("-1")
    ('2', '2', None, None, None)
    """
    number = re.fullmatch(r"([0-9]{1,18})(\.0+)?", str(cell).strip())
    return str(int(number[1])) if number else None


def answer_of(kind: str, cell, choices: Sequence, sizes: Sequence) -> tuple[str, tuple[str, ...]]:
    """(answer, choices) in the form of a `Sample` of that kind.

    choices  the row's options, or the classes of the whole table
    sizes    (height, width) of the row's images; a box must lie within the first

    >>> answer_of("choice", "b", ["CT", "MRI"], [])
    ('MRI', ('CT', 'MRI'))
    >>> answer_of("grade", "2.0", [], [])
    ('2', ())
    >>> answer_of("box", "1, 2, 9, 8.5", [], [(10, 10)])
    ('[1, 2, 9, 8.5]', ())
    """
    if cell is None or not str(cell).strip():
        raise BadOptions("it has no answer")
    if kind == "label":
        options = tuple(map(str.strip, map(str, choices)))
        return (matching_option(cell, options) if options else str(cell).strip()), options
    if kind == "choice":
        options = clean_options(choices)
        try:
            return matching_option(cell, options), options
        except BadOptions:
            return matching_option(option_at_letter(cell, list(choices)), options), options
    if kind == "yes_no":
        word = {True: "yes", False: "no"}[cell] if isinstance(cell, bool) else normalise(str(cell))
        if word not in ("yes", "no"):
            raise BadOptions("its answer is neither yes nor no")
        return word, ("yes", "no")
    if kind == "grade":
        grade = whole_number(cell)
        if grade is None:
            raise BadOptions("its answer is no whole number")
        return grade, tuple(map(str, choices))
    return _box(cell, sizes), ()


def _box(cell, sizes) -> str:
    """One box or several, in pixels of the first image; the order is x1, y1, x2, y2."""
    text = json.dumps(cell) if isinstance(cell, list | tuple) else str(cell)
    between = r"[\[\](),;\s]"
    if not re.fullmatch(rf"{between}*{_NUMBER}(?:{between}+{_NUMBER})*{between}*", text):
        raise BadOptions("its box is not four numbers")
    numbers = [float(number) if "." in number else int(number) for number in re.findall(_NUMBER, text)]
    if len(numbers) % 4 or not all(map(math.isfinite, numbers)):
        raise BadOptions("its box is not four numbers")
    boxes = [numbers[i : i + 4] for i in range(0, len(numbers), 4)]
    for x1, y1, x2, y2 in boxes:
        if not (x1 < x2 and y1 < y2):
            raise BadOptions("its box is empty: x1 < x2 and y1 < y2 are needed")
        if sizes and not (x1 >= 0 and y1 >= 0 and x2 <= sizes[0][1] and y2 <= sizes[0][0]):
            raise BadOptions("its box reaches outside the image")
    return json.dumps(boxes[0] if len(boxes) == 1 else boxes)
