"""The cells of a user's own row, read as what the row's kind needs; BadOptions says why one is not.

No object is ever written as Python would print it: what is no text, and none of the forms below, is refused.
"""

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence

from medical_rl.boxes import area
from medical_rl.data.options import (
    BadOptions,
    clean_options,
    is_empty,
    matching_option,
    option_at_letter,
    text_of,
)
from medical_rl.parsing.kinds import LETTERS
from medical_rl.parsing.response import normalise

MAX_LITERAL = 20_000
# What tools call the letter and the text of an option that is an object; the first that is there.
TEXT_KEYS = ("content", "text", "value", "answer", "description", "option", "choice", "name", "label")
LETTER_KEYS = ("letter", "key", "id", "label", "option", "choice")
# The names of a box's four numbers: corners, or the left upper corner with width and height.
CORNERS = (("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"), ("left", "top", "right", "bottom"))
SIZES = (("x", "y", "w", "h"), ("x", "y", "width", "height"), ("left", "top", "width", "height"))
SEVERAL = ("each", "union", "largest")
SEVERAL_BOXES = (
    "it has several boxes where one is asked for: several=union or largest makes one, each keeps all"
)
_NUMBER = r"[-+]?\d+(?:\.\d+)?"


def name_of(cell, what: str) -> str:
    """A name as `text_of`, one of numbers the same however a spreadsheet wrote it.

    >>> name_of("3.0", "group"), name_of("007", "group"), name_of("1.5", "group")
    ('3', '007', '1.5')
    """
    text = text_of(cell, what)
    number = re.fullmatch(r"(\d+)\.0+", text)
    return number[1] if number else text


def items(cell) -> list:
    """What a cell lists: a list as it is, a text as JSON where it is a JSON list, else cut at "|".

    A list as Python prints it, which pandas writes, is read as data and never run.

    >>> items("a.png | b.png"), items('["yes, mild", "no"]'), items("['a', 'b']"), items(None)
    (['a.png', 'b.png'], ['yes, mild', 'no'], ['a', 'b'], [])
    """
    if isinstance(cell, list | tuple):
        return list(cell)
    if isinstance(cell, bytes | Mapping):
        return [cell]
    if is_empty(cell):
        return []
    if not isinstance(cell, str):
        return [cell]
    opening = cell.lstrip()[0]
    if opening in "[{":
        parsed = _parsed(cell)
        if isinstance(parsed, list):
            return parsed
        if isinstance(parsed, dict):
            return [parsed]
        if opening == "[":
            raise BadOptions("a cell that starts with [ is not a JSON list")
    return list(map(str.strip, cell.split("|")))


def texts_of(cell, what: str) -> tuple[str, ...]:
    """The texts that a cell lists."""
    return tuple(text_of(item, what) for item in items(cell))


def options_of(cell) -> list[str | None]:
    """The options that a cell lists, in the order of their letters, None where a letter has none.

    Read are a list, an object {letter: text}, a list of objects with a text (and a letter), and texts with
    their letters in front.

    >>> options_of({"B": "MRI", "A": "CT"}), options_of('[{"text": "CT"}, {"text": "MRI"}]')
    (['CT', 'MRI'], ['CT', 'MRI'])
    >>> options_of(["A: CT", "B: MRI"]), options_of(["A. fumigatus", "C. albicans"])
    (['CT', 'MRI'], ['A. fumigatus', 'C. albicans'])
    """
    listed = items(cell)
    if listed and all(isinstance(item, Mapping) for item in listed):
        listed = _by_letter(listed)
    texts = [text_of(item, "an option") or None for item in listed]
    own = []
    for letter, text in zip(LETTERS, texts, strict=False):
        own.append(text and re.fullmatch(rf"[(\[]?{letter}\s*[.:)\]、]\s*(.+)", text, re.DOTALL))
    if 2 <= len(texts) <= len(LETTERS) and all(mark for mark, text in zip(own, texts, strict=True) if text):
        return [mark and mark[1] for mark in own]
    return texts


def image_value(cell):
    """What one item of an image cell is: a path, or bytes; parquet and the Hub hold `{"bytes", "path"}`."""
    if isinstance(cell, Mapping):
        cell = cell.get("bytes") or cell.get("path")
        if not cell:
            raise BadOptions("its image is an object without bytes or path")
    return cell if isinstance(cell, bytes) else text_of(cell, "its image")


def whole_number(cell) -> str | None:
    """The digits of a whole number, None where it is none; spreadsheets write "2.0".

    >>> whole_number("02"), whole_number(2.0), whole_number("1.5"), whole_number("²"), whole_number("-1")
    ('2', '2', None, None, None)
    """
    number = re.fullmatch(r"([0-9]{1,18})(\.0+)?", str(cell).strip())
    return str(int(number[1])) if number else None


def answer_of(
    kind: str, cell, choices: Sequence, sizes: Sequence, several: str | None = None
) -> tuple[str, tuple[str, ...]]:
    """(answer, choices) in the form of a `Sample` of that kind.

    choices  the row's options, or the classes of the whole table
    sizes    (height, width) of the row's images; a box must lie within the first
    several  of several boxes: each keeps all, union and largest make one; None refuses them
    """
    if is_empty(cell) or cell == []:
        raise BadOptions("it has no answer")
    if kind == "box":
        return _box(cell, sizes, several), ()
    if isinstance(cell, bool) and kind == "yes_no":
        cell = "yes" if cell else "no"
    answer = text_of(cell, "its answer")
    if kind == "label":
        plain, options = name_of(cell, "its answer"), tuple(choices)
        return (
            matching_option(plain if plain in options else answer, options) if options else plain
        ), options
    if kind == "choice":
        return _chosen(answer, choices)
    if kind == "yes_no":
        word = normalise(answer)
        if word not in ("yes", "no"):
            raise BadOptions("its answer is neither yes nor no")
        return word, ("yes", "no")
    grade = whole_number(answer)
    if grade is None:
        raise BadOptions("its answer is no whole number")
    return grade, tuple(choices)


def box_numbers(cell) -> list[list[float]]:
    """The boxes of a cell, [x1, y1, x2, y2] each: numbers in that order, or objects that name their sides.

    >>> box_numbers({"x": 1, "y": 2, "width": 8, "height": 6}), box_numbers("1, 2, 9, 8.5")
    ([[1, 2, 9, 8]], [[1, 2, 9, 8.5]])
    """
    listed = _parsed(cell) if isinstance(cell, str) and cell.lstrip()[:1] in ("[", "{") else cell
    listed = [listed] if isinstance(listed, Mapping) else listed
    if isinstance(listed, list | tuple) and listed and all(isinstance(item, Mapping) for item in listed):
        return [_named_box(item) for item in listed]
    text = json.dumps(cell) if isinstance(cell, list | tuple) else text_of(cell, "its box")
    between = r"[\[\](),;\s]"
    if not re.fullmatch(rf"{between}*{_NUMBER}(?:{between}+{_NUMBER})*{between}*", text):
        raise BadOptions("its box is not four numbers")
    numbers = list(map(_number, re.findall(_NUMBER, text)))
    if len(numbers) % 4 or not all(map(math.isfinite, numbers)):
        raise BadOptions("its box is not four numbers")
    return [numbers[i : i + 4] for i in range(0, len(numbers), 4)]


def sides_form(names: Sequence[str]) -> str | None:
    """ "corners" or "size", as four names of columns or keys say; None where they say neither.

    >>> sides_form(["Bbox [x", "y", "w", "h]"]), sides_form(["x_min", "y_min", "x_max", "y_max"])
    ('size', 'corners')
    """
    plain = tuple(re.sub(r"[^a-z0-9]", "", str(name).lower()) for name in names)
    plain = tuple(re.sub(r"^(bbox|box)(?=.)", "", name) for name in plain)
    return "corners" if plain in CORNERS else "size" if plain in SIZES else None


def _parsed(text: str):
    """The list or object that a text writes as JSON, or as Python prints it; None where it is neither."""
    for read in (json.loads, ast.literal_eval):
        try:
            if read is json.loads or len(text) <= MAX_LITERAL:
                return read(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return None


def _by_letter(objects: list[Mapping]) -> list:
    """The texts of options that are objects, each at the place of its letter."""
    if len(objects) == 1 or all(len(item) == 1 for item in objects):
        pairs = [pair for item in objects for pair in item.items()]
        if all(len(str(key).strip()) == 1 and str(key).strip().upper() in LETTERS for key, _ in pairs):
            return _placed(pairs)
    if len(objects) == 1:
        raise BadOptions("its options are an object whose keys are not letters")
    pairs = []
    for item in objects:
        named = {str(key).strip().lower(): value for key, value in item.items()}
        key = next((key for key in TEXT_KEYS if not is_empty(named.get(key))), None)
        letters = [key for key in LETTER_KEYS if str(named.get(key, "")).strip().upper() in tuple(LETTERS)]
        letter = next((named[name] for name in letters if name != key), None)
        if key is None or (key in letters and letter is None):
            raise BadOptions("an option is an object without a text")
        pairs.append((letter, named[key]))
    without = sum(letter is None for letter, _ in pairs)
    if 0 < without < len(pairs):
        raise BadOptions("only some of its options have a letter")
    return [text for _, text in pairs] if without else _placed(pairs)


def _placed(pairs: list[tuple]) -> list:
    """The texts, each at the place of its letter, None between them where a letter has none."""
    at: dict[int, object] = {}
    for letter, text in pairs:
        index = LETTERS.index(str(letter).strip().upper())
        if index in at:
            raise BadOptions("two of its options have one letter")
        at[index] = text
    if 0 not in at:
        raise BadOptions("the letters of its options do not begin with A")
    return [at.get(index) for index in range(max(at) + 1)]


def _chosen(answer: str, choices: Sequence) -> tuple[str, tuple[str, ...]]:
    """(option, options): the answer is an option's text, its letter, or both ("B: MRI")."""
    options = clean_options(choices)
    try:
        return matching_option(answer, options), options
    except BadOptions:
        mark = re.fullmatch(r"[(\[]?([A-Za-z])\s*[.:)\]、]\s*(.*)", answer, re.DOTALL)
        chosen = matching_option(option_at_letter(mark[1] if mark else answer, list(choices)), options)
        if mark and mark[2]:
            matching_option(mark[2], (chosen,))  # the letter and the text must mean one option
        return chosen, options


def _named_box(item: Mapping) -> list[float]:
    for inner in ("bbox", "box"):
        if inner in item and not isinstance(item[inner], Mapping):
            # COCO's own are left, top, width, height, and others' corners: nothing says which.
            raise BadOptions(f"its box is an object whose {inner} does not name its sides")
        if inner in item:
            item = item[inner]
    plain = {re.sub(r"[^a-z0-9]", "", str(key).lower()): value for key, value in item.items()}
    for names in (*CORNERS, *SIZES):
        if set(names) <= plain.keys():
            try:
                one, two, three, four = (_number(text_of(plain[name], "its box")) for name in names)
            except ValueError as error:
                raise BadOptions("its box is not four numbers") from error
            return [one, two, three, four] if names in CORNERS else [one, two, one + three, two + four]
    raise BadOptions("its box is an object without the names of four sides")


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)


def _box(cell, sizes, several: str | None) -> str:
    """One box or several, in pixels of the first image, as JSON."""
    boxes = box_numbers(cell)
    for x1, y1, x2, y2 in boxes:
        if not (x1 < x2 and y1 < y2):
            raise BadOptions("its box is empty: x1 < x2 and y1 < y2 are needed")
        if sizes and not (x1 >= 0 and y1 >= 0 and x2 <= sizes[0][1] and y2 <= sizes[0][0]):
            raise BadOptions("its box reaches outside the image")
    if len(boxes) > 1 and several is None:
        raise BadOptions(SEVERAL_BOXES)
    if len(boxes) > 1 and several == "union":
        x1, y1, x2, y2 = zip(*boxes, strict=True)
        boxes = [[min(x1), min(y1), max(x2), max(y2)]]
    elif len(boxes) > 1 and several == "largest":
        boxes = [max(boxes, key=area)]
    return json.dumps(boxes[0] if len(boxes) == 1 else boxes)
