"""The one place that reads model output: tags, boxed answers, letters, yes/no, grades and boxes.

`parse` splits a response once; `read` turns it into the canonical answer of a sample's kind. Format,
accuracy, judges and evaluation all use these two, so a response cannot pass one and fail another for how it
was read.

Only the final answer counts: the last complete `\\boxed{...}` or `<answer>...</answer>` outside the
thought. A thought never answers, an unclosed one hides what follows it, and where the thought was
opened by the prompt all before `</think>` is thought. Text without such a mark is no answer.
The rules of each kind are in `parsing.kinds`; tests/cases/answers.jsonl shows them on examples.
"""

import re
from dataclasses import dataclass

from medical_rl.parsing import kinds
from medical_rl.parsing.text import normalise, visible
from medical_rl.sample import Sample

__all__ = ["READERS", "Response", "boxed_contents", "gold", "gold_problem", "normalise", "parse", "read"]

# Letter by letter in both cases: with re.IGNORECASE the engine cannot jump from "<" to "<".
_THINK = re.compile(r"<(/?)[tT][hH][iI][nN][kK]>")
_OPEN, _CLOSE = "<[aA][nN][sS][wW][eE][rR]>", "</[aA][nN][sS][wW][eE][rR]>"
_ANSWER = re.compile(rf"{_OPEN}((?:(?!{_OPEN}).)*?){_CLOSE}", re.DOTALL)
_NESTED = 9  # marks in marks that are looked into
_BRACES = re.compile(r"\\boxed\s*\{|[{}]")


@dataclass(frozen=True)
class Response:
    """A response read once: the text, its thought, and the final answer text (None where there is none).

    boxed and tagged are the last of their marks; answer is the content of the mark that ends last.
    """

    text: str
    thought: str | None
    boxed: str | None
    tagged: str | None
    answer: str | None


def parse(text: str) -> Response:
    """The parts of a response.

    >>> r = parse("<think>large\\nand round</think> \\\\boxed{2}")
    >>> r.thought, r.answer
    ('large\\nand round', '2')
    >>> parse("no tags at all").answer is None
    True
    """
    thought, spoken = _split_thought(visible(text))
    tagged, boxed = _tagged_spans(spoken)[-1:], _boxed_spans(spoken)[-1:]
    marks, content = tagged + boxed, None
    for _ in range(_NESTED):  # a boxed answer within <answer>, or the other way round
        if not marks:
            break
        content = max(marks)[1].strip()
        marks = _tagged_spans(content) + _boxed_spans(content)
    return Response(
        text=text,
        thought=thought,
        boxed=boxed[0][1].strip() if boxed else None,
        tagged=tagged[0][1].strip() if tagged else None,
        answer=content,
    )


def _split_thought(text: str) -> tuple[str | None, str]:
    """(the last thought, what was said outside thoughts)."""
    depth, start, spoken, thought = 0, 0, [], None
    for match in _THINK.finditer(text):
        if not match[1]:
            if depth == 0:
                spoken.append(text[start : match.start()])
                start = match.end()
            depth += 1
        elif depth <= 1:
            if depth == 0:  # the prompt had opened it: all before was thought
                spoken.clear()
            thought, start, depth = text[start : match.start()].strip(), match.end(), 0
        else:
            depth -= 1
    if depth == 0:
        spoken.append(text[start:])
    return thought, " ".join(spoken)


def _tagged_spans(text: str) -> list[tuple[int, str]]:
    """(end, content) of each <answer>...</answer>, in order."""
    if "<" not in text:
        return []
    return [(match.end(), match[1]) for match in _ANSWER.finditer(text)]


def _boxed_spans(text: str) -> list[tuple[int, str]]:
    """(end, content) of each closed \\boxed{...}, nested braces kept, in order of their ends; one pass."""
    if "\\boxed" not in text:
        return []
    open_braces: list[int | None] = []  # where a boxed content begins, None for another brace
    spans = []
    for match in _BRACES.finditer(text):
        if match[0] != "}":
            open_braces.append(match.end() if match[0] != "{" else None)
        elif open_braces:
            start = open_braces.pop()
            if start is not None:
                spans.append((match.end(), text[start : match.start()]))
    return spans


def boxed_contents(text: str) -> list[str]:
    """What stands in each closed \\boxed{...}, nested braces kept.

    >>> boxed_contents("\\\\boxed{a{b}c} and \\\\boxed{open")
    ['a{b}c']
    """
    return [content for _, content in _boxed_spans(text)]


def read(response: Response, sample: Sample) -> str | None:
    """The canonical answer of `sample.kind` in the response, or None where it cannot be read.

    label, choice: the text of the class or option meant; a text that is none of them is
    returned as it stands (it is an answer, a wrong one). grade: an integer's digits.
    yes_no: "yes" or "no". box: JSON of a list of [x1, y1, x2, y2].
    """
    if response.answer is None or not response.answer.strip():
        return None
    return READERS[sample.kind](response.answer, sample.choices)


def gold(sample: Sample) -> str | None:
    """The sample's gold answer in the canonical form of `read`; None if it is not well-formed."""
    return READERS[sample.kind](sample.answer, sample.choices)


def gold_problem(sample: Sample) -> str | None:
    """What is wrong with the sample's gold answer: unreadable, or none of its choices; None if nothing is.

    >>> gold_problem(Sample(id="1", source="demo", question="?", kind="grade", answer="three"))
    "the gold answer 'three' cannot be read as a grade"
    """
    truth = gold(sample)
    if truth is None:
        return f"the gold answer {sample.answer!r} cannot be read as a {sample.kind}"
    if sample.choices and sample.kind in ("label", "choice") and truth not in sample.choices:
        choices = ", ".join(map(repr, sample.choices))
        return f"the gold answer {sample.answer!r} is none of the choices {choices}"
    return None


READERS = {
    "label": kinds.label,
    "choice": kinds.choice,
    "grade": kinds.grade,
    "yes_no": kinds.yes_no,
    "box": kinds.box,
}
