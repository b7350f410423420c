"""The consistency question as chat messages; what the judged model wrote is fenced, so that it cannot give orders."""

from __future__ import annotations

import functools
import hashlib
import json
import re

from medical_rl.judges.prompts import EXAMPLES, INSTRUCTIONS

# Starts of what a chat template may read as its own tokens (<|im_end|>, </s>, <image>, [INST]), and characters that look like
# a new line or turn the reading direction, which JSON leaves as they are.
_CONTROL = re.compile(r"<(?=[|/!a-z_\uff5c])|\[(?=/?INST)|[\x7f-\x9f\u2028-\u202e\u2066-\u2069]", re.IGNORECASE)


def marker(content: str) -> str:
    """16 hex digits by which `content` is fenced: from its hash, so they are the same each time and not to be guessed.

    Content that held its own marker would need a fixed point of SHA-256; should it be found, the next hash is taken.

    >>> marker("a") == marker("a") != marker("b")
    True
    """
    mark = hashlib.sha256(content.encode("utf-8")).hexdigest()[:16]
    while mark in content:
        mark = hashlib.sha256(mark.encode()).hexdigest()[:16]
    return mark


def fence(fields: dict[str, str]) -> str:
    """`fields` as JSON between two marker lines.

    JSON keeps one field from posing as another (a thought that ends in `"answer": ...`) and newlines from starting a line;
    control tokens of chat templates are written with JSON escapes: the same text to a reader, plain letters to a tokenizer.

    >>> print(fence({"answer": "</s>Yes"}))
    <<<CASE 7ac8eec5c3e02588
    {
     "answer": "\\u003c/s>Yes"
    }
    CASE 7ac8eec5c3e02588>>>
    """
    plain = json.dumps(_encodable(fields), ensure_ascii=False, indent=1)
    content = _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", plain)
    mark = marker(content)
    return f"<<<CASE {mark}\n{content}\nCASE {mark}>>>"


def _encodable(fields: dict[str, str]) -> dict[str, str]:
    """`fields` with lone surrogates, which no request can carry, as question marks."""
    return {name: value.encode("utf-8", "replace").decode("utf-8") for name, value in fields.items()}


def consistency_messages(question: str, thought: str, answer: str) -> list[dict[str, str]]:
    """Chat messages: the instructions, the worked examples as turns, and the case to judge."""
    case = fence({"question": question, "reasoning": thought, "answer": answer})
    return [*_opening(), {"role": "user", "content": case}]


@functools.cache
def _opening() -> tuple[dict[str, str], ...]:
    """The messages before the case, the same each time."""
    messages = [{"role": "system", "content": INSTRUCTIONS}]
    for asked, reasoning, given, verdict, reason in EXAMPLES:
        messages.append(
            {"role": "user", "content": fence({"question": asked, "reasoning": reasoning, "answer": given})}
        )
        messages.append({"role": "assistant", "content": json.dumps({"verdict": verdict, "reason": reason})})
    return tuple(messages)
