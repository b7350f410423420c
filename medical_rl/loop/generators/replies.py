r"""The forms of a generator's reply, each with its instruction, its writer and its strict reader.

json   {"triplets": [{"question", "options", "rationale", "answer"}, ...]}, alone or in one code fence; `notes` may come first
lines  one triplet a line, `question | rationale | answer` or `question | option; option | rationale | answer`:
       for a tiny model, whose few tokens do not hold JSON
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from medical_rl.errors import unknown
from medical_rl.judges.verdict import GarbageVerdict, parse
from medical_rl.loop.generators.triplets import Triplet

FORMATS = ("json", "lines")
FIELDS = ("question", "options", "rationale", "answer")
_TEXT = {"type": "string"}
_TRIPLET = {
    "type": "object",
    "properties": {
        "question": _TEXT,
        "options": {"type": ["array", "null"], "items": _TEXT},
        "rationale": _TEXT,
        "answer": _TEXT,
    },
    "required": list(FIELDS),
    "additionalProperties": False,
}
MALFORMED, CUT_OFF = "malformed", "cut off"


def schema(notes: bool, required: bool = True) -> dict[str, Any]:
    """The JSON schema of a reply; `notes`: a text in which the model thinks stands before the triplets.

    required  endpoints in strict mode want every key; a reader takes a reply without its notes too
    """
    triplets = {"triplets": {"type": "array", "items": _TRIPLET}}
    properties = {"notes": _TEXT, **triplets} if notes else triplets
    named = list(properties) if required else ["triplets"]
    return {"type": "object", "properties": properties, "required": named, "additionalProperties": False}


def instruction(format: str, count: int, notes: bool = False) -> str:
    """What a prompt says of the form in which `count` triplets are to be given."""
    if format == "lines":
        return "question | options | rationale | answer"
    thought = '"notes": "...", ' if notes else ""
    return (
        "Reply with one JSON object and nothing else:\n"
        f'{{{thought}"triplets": [{{"question": "...", "options": ["...", "..."], "rationale": "...", "answer": "..."}}]}}\n'
        f"`triplets` holds exactly {count}. `options` is null where the answer is free, else 2 to 8 texts without letters, "
        "and `answer` is one of them, word for word."
    )


def read(text: str, format: str, cut: bool = False) -> tuple[list[Triplet], list[str]]:
    """(the triplets of a reply, why each unreadable part is none).

    cut  the model's tokens ran out, so that what it wrote last is not whole

    >>> read("Which side? | It lies there. | left", "lines")[0][0].answer
    'left'
    >>> read("I see a disc.", "json")
    ([], ['malformed'])
    """
    if format not in FORMATS:
        raise unknown("format of replies", format, FORMATS)
    return _read_lines(text, cut) if format == "lines" else _read_json(text, cut)


def write(triplets: Iterable[Triplet], format: str) -> str:
    """The reply that gives `triplets`.

    >>> write([Triplet("Which side?", "left", "It lies there.", ("left", "right"))], "lines")
    'Which side? | left; right | It lies there. | left'
    """
    if format not in FORMATS:
        raise unknown("format of replies", format, FORMATS)
    if format == "lines":
        return "\n".join(map(_line, triplets))
    listed = [
        {
            "question": t.question,
            "options": list(t.options) or None,
            "rationale": t.rationale,
            "answer": t.answer,
        }
        for t in triplets
    ]
    return json.dumps({"triplets": listed}, ensure_ascii=False)


def triplets_of(reply: Mapping[str, Any]) -> list[Triplet]:
    """The triplets of a reply that is valid by `schema`."""
    return [
        Triplet(
            _text(one["question"]),
            _text(one["answer"]),
            _text(one["rationale"]),
            tuple(map(_text, one["options"] or ())),
        )
        for one in reply["triplets"]
    ]


def _read_json(text: str, cut: bool) -> tuple[list[Triplet], list[str]]:
    try:
        return triplets_of(parse(text, schema(notes=True, required=False))), []
    except GarbageVerdict:
        return [], [CUT_OFF if cut else MALFORMED]


def _read_lines(text: str, cut: bool) -> tuple[list[Triplet], list[str]]:
    lines = text.split("\n")
    bad = [CUT_OFF] if cut and lines.pop().strip() else []
    found = []
    for line in lines:
        if not line.strip() or line.startswith("```"):
            continue
        parts = [_text(part) for part in line.split("|")]
        if len(parts) not in (3, 4):
            bad.append(MALFORMED)
            continue
        question, *options, rationale, answer = parts
        found.append(
            Triplet(
                question, answer, rationale, tuple(_text(o) for o in options[0].split(";")) if options else ()
            )
        )
    return found, bad


def _line(triplet: Triplet) -> str:
    options = ["; ".join(triplet.options)] if triplet.options else []
    return " | ".join(
        " ".join(part.split()) for part in (triplet.question, *options, triplet.rationale, triplet.answer)
    )


def _text(value: str) -> str:
    """A text that a file can hold: JSON may spell lone surrogates, which UTF-8 has no bytes for."""
    return value.encode("utf-8", "replace").decode("utf-8").strip()
