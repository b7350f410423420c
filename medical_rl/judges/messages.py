"""What a judge is asked and how its reply is read: fenced material, the consistency question, the parser.

What is judged is fenced, so that it gives no orders; the question's instructions and worked examples are in
consistency.yaml.
"""

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

# Starts of what a chat template may read as its own tokens (<|im_end|>, </s>, <image>, [INST]), and
# characters that look like a new line or turn the reading direction, which JSON leaves as they are.
_CONTROL = re.compile(
    r"<(?=[|/!a-z_\uff5c])|\[(?=/?INST)|[\x7f-\x9f\u2028-\u202e\u2066-\u2069]", re.IGNORECASE
)
_TEXTS = yaml.safe_load(Path(__file__).with_name("consistency.yaml").read_text(encoding="utf-8"))
INSTRUCTIONS = _TEXTS["instructions"]
# (question, reasoning, answer, verdict, reason)
EXAMPLES = tuple(tuple(example.values()) for example in _TEXTS["examples"])
VERDICTS = ("sound", "unsound", "unclear")
# OpenAI's strict mode wants every key required and no others.
CONSISTENCY = {
    "type": "object",
    "properties": {"verdict": {"type": "string", "enum": list(VERDICTS)}, "reason": {"type": "string"}},
    "required": ["verdict", "reason"],
    "additionalProperties": False,
}


def fence(fields: dict[str, str]) -> str:
    """`fields` as JSON between two marker lines, from its hash: the same each time, not to be guessed.

    JSON keeps one field from posing as another (a thought that ends in `"answer": ...`) and newlines from
    starting a line; control tokens of chat templates are written with JSON escapes: the same text to a
    reader, plain letters to a tokenizer. Lone surrogates, which no request can carry, become question marks.

    >>> print(fence({"answer": "</s>Yes"}))
    <<<CASE 7ac8eec5c3e02588
    {
     "answer": "\\u003c/s>Yes"
    }
    CASE 7ac8eec5c3e02588>>>
    """
    encodable = {name: value.encode("utf-8", "replace").decode("utf-8") for name, value in fields.items()}
    plain = json.dumps(encodable, ensure_ascii=False, indent=1)
    content = _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", plain)
    mark = hashlib.sha256(content.encode("utf-8")).hexdigest()[:16]
    while (
        mark in content
    ):  # a fixed point of SHA-256 would be needed; should it be found, the next hash is taken
        mark = hashlib.sha256(mark.encode()).hexdigest()[:16]
    return f"<<<CASE {mark}\n{content}\nCASE {mark}>>>"


def consistency_messages(question: str, thought: str, answer: str) -> list[dict[str, str]]:
    """Chat messages: the instructions, the worked examples as turns, and the case to judge."""
    case = fence({"question": question, "reasoning": thought, "answer": answer})
    return [*_opening(), {"role": "user", "content": case}]


@functools.cache
def _opening() -> tuple[dict[str, str], ...]:
    """The messages before the case, the same each time."""
    messages = [{"role": "system", "content": INSTRUCTIONS}]
    for question, reasoning, answer, verdict, reason in EXAMPLES:
        case = fence({"question": question, "reasoning": reasoning, "answer": answer})
        messages.append({"role": "user", "content": case})
        messages.append({"role": "assistant", "content": json.dumps({"verdict": verdict, "reason": reason})})
    return tuple(messages)


class GarbageVerdict(ValueError):
    """An answer that is no JSON object of the schema: the judge is asked again, the sample not blamed."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A judge's word on one case: `verdict` is sound, unsound or unclear; `reason` is its one sentence."""

    verdict: str
    reason: str


def parse(text: str | None, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object of `text`, valid by `schema`: alone, in one code fence, after `<think>...</think>`.

    Nothing is guessed out of prose: a verdict read from a sentence can be the opposite of the one meant.
    Raises GarbageVerdict for anything else.

    >>> parse('{"verdict": "sound", "reason": "Fits."}', CONSISTENCY)
    {'verdict': 'sound', 'reason': 'Fits.'}
    >>> parse('It is {"verdict": "sound", "reason": "Fits."}', CONSISTENCY)
    Traceback (most recent call last):
    ...
    medical_rl.judges.messages.GarbageVerdict: not one JSON object: Expecting value at character 0
    """
    content = (text or "").strip()
    if "</think>" in content and not content.startswith("{"):  # its opening may stand in the prompt
        content = content.rpartition("</think>")[2].strip()
    if len(content) >= 6 and content.startswith("```") and content.endswith("```"):
        content = content[3:-3].strip().removeprefix("json")
    try:
        value = json.loads(content, object_pairs_hook=_object, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise GarbageVerdict(f"not one JSON object: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise GarbageVerdict("not one JSON object: nested too deeply") from None
    if not isinstance(value, dict):
        raise GarbageVerdict(f"a JSON {type(value).__name__}, not an object")
    # half a surrogate pair, which no file can keep, becomes a question mark
    value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    violation = next(_validator(json.dumps(schema, sort_keys=True)).iter_errors(value), None)
    if violation is not None:
        place = "/".join(map(str, violation.absolute_path)) or "the object"
        raise GarbageVerdict(f"{place} breaks the schema's rule {violation.validator!r}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of `pairs`. Raises GarbageVerdict for a key given twice: readers resolve it differently."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise GarbageVerdict("a key is given twice")
    return value


def _refuse(constant: str) -> None:
    raise GarbageVerdict(f"{constant} is no JSON")


@functools.lru_cache(maxsize=32)
def _validator(schema: str):
    """A validator of a schema given as JSON text; making it costs more than a hundred checks."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(schema))
