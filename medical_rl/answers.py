"""The one place that reads model output: tags, boxed answers, letters, yes/no, grades and boxes.

`parse` splits a response once; `read` turns the parsed response into the canonical
answer of a sample's kind. Format, accuracy, judges and evaluation all use these two,
so a response cannot pass one and fail another for the way it was read.

Only the final answer counts: the last `\\boxed{...}` outside the thought, else the last
`<answer>`. A thought never answers.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass

from medical_rl.sample import Sample

_THINK = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_FOUR = re.compile(rf"\[\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\]")


@dataclass(frozen=True)
class Response:
    """A response read once: the text, its thought, and the final answer text (None where there is none)."""

    text: str
    thought: str | None
    boxed: str | None
    tagged: str | None

    @property
    def answer(self) -> str | None:
        """The final answer's text: boxed if there is one, else what stands in <answer>."""
        return self.boxed if self.boxed is not None else self.tagged


def parse(text: str) -> Response:
    """The parts of a response.

    >>> r = parse("<think>large\\nand round</think> \\\\boxed{2}")
    >>> r.thought, r.answer
    ('large\\nand round', '2')
    >>> parse("no tags at all").answer is None
    True
    """
    thoughts = _THINK.findall(text)
    spoken = _THINK.sub(" ", text)
    if "<think>" in spoken:  # a thought that never ends hides everything after it
        spoken = spoken.split("<think>", 1)[0]
    tagged = _ANSWER.findall(spoken)
    boxed = boxed_contents(spoken)
    return Response(
        text=text,
        thought=thoughts[-1].strip() if thoughts else None,
        boxed=boxed[-1].strip() if boxed else None,
        tagged=tagged[-1].strip() if tagged else None,
    )


def boxed_contents(text: str) -> list[str]:
    """What stands in each closed \\boxed{...}, nested braces kept.

    >>> boxed_contents("\\\\boxed{a{b}c} and \\\\boxed{open")
    ['a{b}c']
    """
    found = []
    for match in re.finditer(r"\\boxed\s*\{", text):
        depth = 1
        for end in range(match.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                found.append(text[match.end() : end])
                break
    return found


def normalise(text: str) -> str:
    """Text for comparing labels: NFKC, case folded, punctuation and runs of space to one space.

    >>> normalise(" Normal,  Benign. ")
    'normal benign'
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text)
    return " ".join(re.sub(r"[^\w]+|_", " ", text).split())


def read(response: Response, sample: Sample) -> str | None:
    """The canonical answer of `sample.kind` in the response, or None where it cannot be read.

    label, choice: the text of the class or option meant; a text that is none of them is
    returned as it stands (it is an answer, a wrong one). grade: an integer's digits.
    yes_no: "yes" or "no". box: JSON of a list of [x1, y1, x2, y2].
    """
    if response.answer is None or not response.answer.strip():
        return None
    return READERS[sample.kind](response.answer, sample)


def gold(sample: Sample) -> str | None:
    """The sample's gold answer in the canonical form of `read`; None if it is not well-formed."""
    return READERS[sample.kind](sample.answer, sample)


def _read_label(text: str, sample: Sample) -> str | None:
    asked = normalise(text)
    for choice in sample.choices:
        if normalise(choice) == asked:
            return choice
    return text.strip() if asked else None


def _read_choice(text: str, sample: Sample) -> str | None:
    """An option by its letter ("B", "(B)", "B) text") or by its text."""
    letters = "ABCDEFGHIJ"[: len(sample.choices)]
    whole = _read_label(text, sample)
    if whole in sample.choices:
        return whole
    match = re.match(r"^\(?([A-Ja-j])\s*(?:[).:]|$)\s*(.*)$", text.strip(), re.DOTALL)
    if match and match[1].upper() in letters:
        option = sample.choices[letters.index(match[1].upper())]
        return option if not match[2].strip() or normalise(match[2]) == normalise(option) else None
    return whole


def _read_grade(text: str, sample: Sample) -> str | None:
    match = re.fullmatch(
        r"(?:grade|level|score)?[\s:]*([-+]?\d+)\.?", unicodedata.normalize("NFKC", text).strip().casefold()
    )
    return str(int(match[1])) if match else None


def _read_yes_no(text: str, sample: Sample) -> str | None:
    words = normalise(text).split()
    found = {w for w in words if w in ("yes", "no")}
    return found.pop() if len(found) == 1 and words[0] in ("yes", "no") else None


def _read_box(text: str, sample: Sample) -> str | None:
    boxes = [[float(v) for v in match] for match in _FOUR.findall(text)]
    return json.dumps(boxes) if boxes else None


READERS = {
    "label": _read_label,
    "choice": _read_choice,
    "grade": _read_grade,
    "yes_no": _read_yes_no,
    "box": _read_box,
}
