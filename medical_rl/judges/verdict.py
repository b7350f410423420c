"""What a judge's answer must look like: the consistency verdict's schema, and the strict parser."""

import dataclasses
import functools
import json
import re
from collections.abc import Mapping
from typing import Any

VERDICTS = ("sound", "unsound", "unclear")
# OpenAI's strict mode wants every key required and no others.
CONSISTENCY = {
    "type": "object",
    "properties": {"verdict": {"type": "string", "enum": list(VERDICTS)}, "reason": {"type": "string"}},
    "required": ["verdict", "reason"],
    "additionalProperties": False,
}
_FENCED = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL)


class GarbageVerdict(ValueError):
    """An answer that is no JSON object of the schema: the judge is asked again, the sample not blamed."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A judge's word on one case: `verdict` is sound, unsound or unclear; `reason` is its one sentence."""

    verdict: str
    reason: str

    @property
    def sound(self) -> bool:
        """True if the answer follows from the reasoning."""
        return self.verdict == "sound"


def parse(text: str | None, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object of `text`, alone or in one code fence, valid by `schema`.

    Nothing is guessed out of prose: a verdict read from a sentence can be the opposite of the one meant.
    Raises GarbageVerdict for anything else.

    >>> parse('{"verdict": "sound", "reason": "Fits."}', CONSISTENCY)
    {'verdict': 'sound', 'reason': 'Fits.'}
    >>> parse('It is {"verdict": "sound", "reason": "Fits."}', CONSISTENCY)
    Traceback (most recent call last):
    ...
    medical_rl.judges.verdict.GarbageVerdict: not one JSON object: Expecting value at character 0
    """
    content = (text or "").strip()
    fenced = _FENCED.fullmatch(content)
    if fenced:
        content = fenced[1]
    try:
        value = json.loads(content, object_pairs_hook=_object, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise GarbageVerdict(f"not one JSON object: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise GarbageVerdict("not one JSON object: nested too deeply") from None
    if not isinstance(value, dict):
        raise GarbageVerdict(f"a JSON {type(value).__name__}, not an object")
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
