"""The one place that reads model output: tags, boxed answers, letters, yes/no, grades and boxes.

`parse` splits a response once; `read` turns it into the canonical answer of a sample's kind. Format,
accuracy, judges and evaluation all use these two, so a response cannot pass one and fail another for how it
was read.

Only the final answer counts: the last complete `\\boxed{...}` or `<answer>...</answer>` outside the
thought. A thought never answers, an unclosed one hides what follows it, and where the thought was
opened by the prompt all before `</think>` is thought. Text without such a mark is no answer. That is the
strict reading, which rewards take; `parse_lenient` reads what a person would still take for the answer.
The rules of each kind are in `parsing.kinds`; tests/cases/answers.jsonl shows them on examples.
"""

import re
from dataclasses import dataclass, replace

from medical_rl.parsing import kinds
from medical_rl.parsing.text import normalise, visible
from medical_rl.sample import Sample

__all__ = ["READERS", "Response", "boxed_contents", "gold", "gold_problem", "normalise", "parse", "read"]

# Letter by letter in both cases: with re.IGNORECASE the engine cannot jump from "<" to "<".
_THINK = re.compile(r"<(/?)[tT][hH][iI][nN][kK]>")
_OPEN, _CLOSE = "<[aA][nN][sS][wW][eE][rR]>", "</[aA][nN][sS][wW][eE][rR]>"
_ANSWER = re.compile(rf"{_OPEN}((?:(?!{_OPEN}).)*?){_CLOSE}", re.DOTALL)
_TAGS = re.compile(r"</?(?:think|answer)>|\\boxed\b", re.IGNORECASE)
_NESTED = 8  # marks in marks that are looked into
_BRACES = re.compile(r"\\boxed\s*\{|[{}]")


@dataclass(frozen=True)
class Response:
    """A response read once: the text, its thought, and the final answer text (None where there is none).

    boxed and tagged are the last of their marks; answer is the content of the mark that ends last.
    thought is all that was thought, in order. bare: the answer is a text without any mark (`parse_lenient`).
    """

    text: str
    thought: str | None
    boxed: str | None
    tagged: str | None
    answer: str | None
    bare: bool = False


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
    return Response(
        text=text,
        thought=thought,
        boxed=_content(spoken, boxed[0]) if boxed else None,
        tagged=_content(spoken, tagged[0]) if tagged else None,
        answer=_innermost(_content(spoken, max(tagged + boxed))) if tagged or boxed else None,
    )


def _content(text: str, span: tuple[int, int, int]) -> str:
    return text[span[1] : span[2]].strip()


def _innermost(content: str) -> str:
    """The last mark inside the content of a mark: a boxed answer within <answer>, or the other way round."""
    for _ in range(_NESTED):
        marks = _tagged_spans(content) + _boxed_spans(content)
        if not marks:
            break
        content = _content(content, max(marks))
    return content


def parse_lenient(text: str) -> Response:
    """As `parse`, and where that finds no answer: the last mark anywhere that holds one, else the bare text.

    A mark in the thought counts. A text without any mark is the answer, or the thought where nothing follows
    it; `read` takes it as a whole, else its last line. For measuring what a model knows apart from how it
    writes; never stricter than `parse`.

    >>> [parse_lenient(text).answer for text in ("<think>clear <answer>no</answer></think>", "It is so: no.")]
    ['no', 'It is so: no.']
    """
    response, whole = parse(text), visible(text)
    if response.answer:
        return response
    for span in sorted(_tagged_spans(whole) + _boxed_spans(whole), reverse=True):
        content = _innermost(_content(whole, span))
        if content:
            return replace(response, answer=content)
    thought, spoken = _split_thought(whole)  # a thought that was never finished is in neither
    bare = _TAGS.sub(" ", spoken).strip() or _TAGS.sub(" ", thought or "").strip()
    return replace(response, answer=bare or None, bare=bool(bare))


PARSERS = {"strict": parse, "lenient": parse_lenient}


def _split_thought(text: str) -> tuple[str | None, str]:
    """(all that was thought, what was said outside thoughts)."""
    depth, start, spoken, thoughts = 0, 0, [], []
    for match in _THINK.finditer(text):
        if not match[1]:
            if depth == 0:
                spoken.append(text[start : match.start()])
                start = match.end()
            depth += 1
        elif depth <= 1:
            if depth == 0:  # the prompt had opened it: all before was thought
                spoken.clear()
            thoughts.append(text[start : match.start()].strip())
            start, depth = match.end(), 0
        else:
            depth -= 1
    if depth == 0:
        spoken.append(text[start:])
    return "\n".join(filter(None, thoughts)) if thoughts else None, " ".join(spoken)


def _tagged_spans(text: str) -> list[tuple[int, int, int]]:
    """(end, start and end of its content) of each <answer>...</answer>, in order."""
    if "<" not in text:
        return []
    return [(match.end(), match.start(1), match.end(1)) for match in _ANSWER.finditer(text)]


def _boxed_spans(text: str) -> list[tuple[int, int, int]]:
    """As `_tagged_spans`, of each closed \\boxed{...}, nested braces kept, in order of their ends; one pass."""
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
                spans.append((match.end(), start, match.start()))
    return spans


def boxed_contents(text: str) -> list[str]:
    """What stands in each closed \\boxed{...}, nested braces kept.

    >>> boxed_contents("\\\\boxed{a{b}c} and \\\\boxed{open")
    ['a{b}c']
    """
    return [text[start:end] for _, start, end in _boxed_spans(text)]


def read(response: Response, sample: Sample) -> str | None:
    """The canonical answer of `sample.kind` in the response, or None where it cannot be read.

    label, choice: the text of the class or option meant; a text that is none of them is returned as it
    stands (it is an answer, a wrong one). grade: an integer's digits. yes_no: "yes" or "no". box: JSON of a
    list of [x1, y1, x2, y2]. What is outside the kind's range (a grade that does not exist, a letter beyond
    the options) is no answer; for a box the terms tell, which know its frame.
    """
    if response.answer is None or not response.answer.strip():
        return None
    reader = READERS[sample.kind]
    answer = reader(response.answer, sample.choices, sample.question)
    if response.bare and (answer is None or (sample.choices and answer not in sample.choices)):
        last_line = response.answer.rstrip().rpartition("\n")[2]
        return reader(last_line, sample.choices, sample.question) or answer
    return answer


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
        scale = f" of {', '.join(sample.choices)}" if sample.kind == "grade" and sample.choices else ""
        return f"the gold answer {sample.answer!r} cannot be read as a {sample.kind}{scale}"
    if sample.kind == "choice" and len(sample.choices) > len(kinds.LETTERS):
        return f"it has {len(sample.choices)} choices, and letters are read up to {kinds.LETTERS[-1]}"
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
