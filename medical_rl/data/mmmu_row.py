"""One MMMU row as a question: its options read as data, its image marks numbered in the order of its images."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from medical_rl.data.options import BadOptions, by_letter, clean, matching

MAX_OPTIONS_LENGTH = 20_000
_IMAGE = re.compile(r"<image (\d+)>")


def options(text) -> list[str]:
    """The options in a row's own order; a text is a Python list of strings, parsed and never evaluated; else BadOptions.

    >>> options("['A, B', \\"it's\\"]")
    ['A, B', "it's"]
    >>> options("__import__('os').getcwd()")
    Traceback (most recent call last):
    ...
    medical_rl.data.options.BadOptions: its options are not a list of texts
    """
    found = text
    if isinstance(text, str):
        try:
            found = ast.literal_eval(text) if len(text) <= MAX_OPTIONS_LENGTH else None
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            found = None
    if not isinstance(found, list) or not all(isinstance(option, str) for option in found):
        raise BadOptions("its options are not a list of texts")
    return found


def asked(row: Mapping) -> tuple[str, tuple[str, ...], str, list[str]]:
    """(question, choices, answer, columns of its images in order); choices are () for a short answer; else BadOptions.

    >>> row = {"question": "Is <image 2> like <image 1>?", "options": "['yes', '<image 1>']", "answer": "B"}
    >>> asked(row | {"question_type": "multiple-choice"})
    ('Is image 1 like image 2?', ('yes', 'image 2'), 'image 2', ['image_2', 'image_1'])
    """
    listed = options(row["options"])
    used = list(dict.fromkeys(_IMAGE.findall(" ".join([str(row["question"]), *listed]))))
    # Some questions show an image and never name it.
    used = used or [str(n) for n in range(1, 8) if row.get(f"image_{n}")]
    number = {old: new for new, old in enumerate(used, start=1)}

    def renumbered(text: str) -> str:
        return _IMAGE.sub(lambda mark: f"image {number[mark[1]]}", text).strip()

    question, columns = renumbered(str(row["question"])), [f"image_{old}" for old in used]
    if row["question_type"] != "multiple-choice":
        return question, (), accepted(row["answer"])[0], columns
    if str(row["answer"]).strip() in ("", "?"):
        raise BadOptions("its answer is not public")
    listed = [renumbered(option) for option in listed]
    choices = clean(listed)
    return question, choices, matching(by_letter(row["answer"], listed), choices), columns


def accepted(answer) -> list[str]:
    """The accepted short answers, at least one; several come as a Python list in a text. Else BadOptions.

    >>> accepted("['0.25', '1/4']"), accepted("24/7")
    (['0.25', '1/4'], ['24/7'])
    """
    text = str(answer).strip()
    if text in ("", "?"):
        raise BadOptions("its answer is not public")
    found = [one.strip() for one in (options(text) if text.startswith("[") else [text]) if one.strip()]
    if not found:
        raise BadOptions("its list of accepted answers is empty")
    return found
