"""Lexical consistency: a rule in place of the judge, where no endpoint can be asked.

It reads the last claim of the thought as it would read an answer and compares the two. It
knows nothing of medicine: a thought that argues well and ends in other words than the answer
fails it, and nonsense that ends in the answer's words passes. Named apart from `consistency`
so that no table can confuse them.
"""

import json
import re

from medical_rl.boxes import first_iou
from medical_rl.parsing.response import Response, normalise, parse, read
from medical_rl.sample import Sample

_SENTENCE = re.compile(r"(?<=[.!?;\n])\s+")
_DENIAL = frozenset(
    [
        "no",
        "not",
        "without",
        "absent",
        "none",
        "negative",
        "unremarkable",
        "never",
        "nor",
        "neither",
        "free",
        "clear",
    ]
)


def lexical_consistency(
    response: Response, sample: Sample, sound: float = 1.0, unsound: float = -0.5
) -> float:
    """`sound` if the thought's last claim is the answer, else `unsound`, also where either is missing.

    >>> from medical_rl.parsing.response import parse
    >>> s = Sample(id="1", source="demo", question="?", kind="label", answer="disc", choices=("disc", "ring"))
    >>> lexical_consistency(parse("<think>A ring? No: it is filled, a disc.</think> \\\\boxed{disc}"), s)
    1.0
    >>> lexical_consistency(parse("<think>It is a ring.</think> \\\\boxed{disc}"), s)
    -0.5
    """
    answer = read(response, sample)
    if not response.thought or answer is None:
        return float(unsound)
    claim = last_claim(response.thought, sample)
    if claim is None:
        return float(unsound)
    if sample.kind == "box":
        agrees = first_iou(claim, answer) > 0.5
    elif sample.kind in ("label", "choice") and not sample.choices:
        # a free answer: the last sentence names it
        agrees = f" {normalise(answer)} " in f" {normalise(claim)} "
    else:
        agrees = claim == answer
    return float(sound if agrees else unsound)


def last_claim(thought: str, sample: Sample) -> str | None:
    """The canonical answer that the thought last speaks of, or None.

    label, choice: the class or option named last (without choices: the last sentence); grade: the last
    integer; box: the last box; yes_no: a yes or no in the last sentence, else "no" where that sentence denies
    and "yes" where it does not.
    """
    if sample.kind in ("label", "choice") and sample.choices:
        return _last_choice(normalise(thought), sample.choices)
    if sample.kind == "grade":
        numbers = re.findall(r"(?<![\w.])\d{1,18}(?![\w.]*\d)", thought)
        return str(int(numbers[-1])) if numbers else None
    if sample.kind == "box":
        boxes = read(parse(f"<answer>{thought}</answer>"), sample)
        return json.dumps(json.loads(boxes)[-1:]) if boxes else None
    sentences = list(filter(normalise, _SENTENCE.split(thought.strip())))
    if not sentences:
        return None
    return _yes_or_no(sentences[-1]) if sample.kind == "yes_no" else sentences[-1]


def _last_choice(text: str, choices: tuple[str, ...]) -> str | None:
    """The choice named last; of two that end together the longer ("normal, benign" holds "benign")."""
    last = (-1, 0, None)
    for choice in choices:
        name = normalise(choice)
        start = f" {text} ".rfind(f" {name} ")
        if start >= 0:
            last = max(last, (start + len(name), len(choice), choice))
    return last[2]


def _yes_or_no(sentence: str) -> str:
    words = normalise(sentence).split()
    if words[-1:] == ["no"]:
        return "no"
    return "yes" if "yes" in words or not _DENIAL.intersection(words) else "no"


def maximum(sample: Sample, sound: float = 1.0, **_) -> float:
    """The largest reward."""
    return float(sound)


lexical_consistency.maximum = maximum
