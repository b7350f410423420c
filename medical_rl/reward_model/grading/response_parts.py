"""A response taken apart where it can be changed: its thought, its answer, and what is around them."""

import dataclasses
import re

from medical_rl.parsing.response import boxed_contents

_THOUGHT = re.compile(r"<think>(.*)</think>", re.DOTALL | re.IGNORECASE)
_TAGGED = re.compile(r"<answer>((?:(?!<answer>).)*)</answer>", re.DOTALL | re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Parts:
    """`head + thought + middle + answer + tail` is the response; thought or answer may be ""."""

    head: str
    thought: str
    middle: str
    answer: str
    tail: str

    @property
    def text(self) -> str:
        """The response put together."""
        return self.head + self.thought + self.middle + self.answer + self.tail

    def with_thought(self, thought: str) -> str:
        """The response with another thought."""
        return dataclasses.replace(self, thought=thought).text


def split(text: str) -> Parts:
    r"""The parts of a response.

    Without think tags all before the answer's mark is thought; a text without marks is an answer.

    >>> split("<think>a disc</think> \\boxed{2}")
    Parts(head='<think>', thought='a disc', middle='</think> \\boxed{', answer='2', tail='}')
    >>> split("A disc. <answer>2</answer>").thought, split("2").answer
    ('A disc.', '2')
    """
    match = _THOUGHT.search(text)
    start, end = _answer_span(text, match.end() if match else 0)
    if match:
        head, thought = text[: match.start(1)], match[1]
    else:
        head, thought = "", re.split(r"<answer>|\\boxed", text[:start], flags=re.IGNORECASE)[0].rstrip()
    middle = text[len(head + thought) : start]
    return Parts(head, thought, middle, text[start:end], text[end:])


def _answer_span(text: str, after: int) -> tuple[int, int]:
    """(start, end) of the last answer mark's content from `after` on; without a mark, of all from there."""
    spans = [match.span(1) for match in _TAGGED.finditer(text, after)]
    for content in boxed_contents(text[after:])[-1:]:
        start = text.rfind("{" + content + "}") + 1
        spans.append((start, start + len(content)))
    return max(spans, key=lambda span: span[1], default=(after, len(text)))
