"""Lexical consistency: a rule in place of the judge, where no endpoint can be asked.

It reads the last claim of the thought as it would read an answer and compares the two. It
knows nothing of medicine: a thought that argues well and ends in other words than the answer
fails it, and nonsense that ends in the answer's words passes. Named apart from `consistency`
so that no table can confuse them.
"""

from __future__ import annotations

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
    """`sound` if the thought's last claim is the answer, else `unsound` (no thought, answer or claim included).

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
    claimed = last_claim(response.thought, sample)
    if sample.kind == "box":
        agree = claimed is not None and first_iou(claimed, answer) > 0.5
    elif (
        sample.kind in ("label", "choice") and not sample.choices
    ):  # a free answer: the last sentence names it
        agree = claimed is not None and f" {normalise(answer)} " in f" {normalise(claimed)} "
    else:
        agree = claimed is not None and claimed == answer
    return float(sound if agree else unsound)


def last_claim(thought: str, sample: Sample) -> str | None:
    """The canonical answer that the thought last speaks of, or None.

    label, choice: the class or option named last (without choices: the last sentence); grade: the last integer; box: the last box;
    yes_no: a yes or no in the last sentence, else "no" where that sentence denies and "yes" where it does not.
    """
    if sample.kind in ("label", "choice") and not sample.choices:
        sentences = [s for s in _SENTENCE.split(thought.strip()) if normalise(s)]
        return sentences[-1] if sentences else None
    if sample.kind in ("label", "choice"):
        text = f" {normalise(thought)} "
        # at the same place the longer name was meant: "normal, benign" holds "benign"
        ends = [
            (text.rfind(f" {normalise(c)} ") + len(normalise(c)), len(c), c)
            for c in sample.choices
            if f" {normalise(c)} " in text
        ]
        return max(ends)[2] if ends else None
    if sample.kind == "grade":
        numbers = re.findall(r"(?<![\w.])\d{1,18}(?![\w.]*\d)", thought)
        return str(int(numbers[-1])) if numbers else None
    if sample.kind == "box":
        found = read(parse(f"<answer>{thought}</answer>"), sample)
        return json.dumps(json.loads(found)[-1:]) if found else None
    sentences = [s for s in _SENTENCE.split(thought.strip()) if normalise(s)]
    return _verdict(sentences[-1]) if sentences else None


def _verdict(sentence: str) -> str:
    words = normalise(sentence).split()
    said = [w for w in words if w == "yes" or (w == "no" and words[-1] == "no")]
    if said:
        return said[-1]
    return "no" if _DENIAL.intersection(words) else "yes"


def maximum(sample: Sample, sound: float = 1.0, **_) -> float:
    """The largest reward."""
    return float(sound)
