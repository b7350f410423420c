"""Format: whether the response has the asked structure, whatever it says."""

import json
import re

from medical_rl.errors import check_known
from medical_rl.parsing.response import Response, read
from medical_rl.sample import Sample

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_TAGGED = re.compile(r"\s*<think>.*?</think>\s*<answer>.*?</answer>\s*", re.DOTALL)
_PUBLIC = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)


def _boxed(response: Response) -> bool:
    """One thought first, then one boxed answer outside it (VRFT-Aug, classification)."""
    before, opened, rest = response.text.partition("<think>")
    thought, closed, after = rest.partition("</think>")
    one_thought = (
        opened and closed and not before.strip() and thought.strip() and "think>" not in thought + after
    )
    return bool(one_thought and after.count("\\boxed") == 1 and response.boxed)


def _tagged(response: Response) -> bool:
    """Each of the four tags exactly once, in order, nothing outside them, nothing empty (MEDFACT-R1)."""
    once = all(response.text.count(tag) == 1 for tag in TAGS)
    return bool(once and _TAGGED.fullmatch(response.text) and response.thought and response.tagged)


def _json(response: Response) -> bool:
    """As `_tagged`, with JSON that holds something, in a code fence or not (VRFT-Aug, localisation)."""
    if not _tagged(response):
        return False
    inside = _FENCE.fullmatch(response.tagged)
    try:
        value = json.loads(inside[1] if inside else response.tagged)
    except (ValueError, RecursionError):  # not JSON, or nested beyond reading
        return False
    return isinstance(value, (list, dict)) and bool(value)


FORMS = {
    "boxed": _boxed,
    "tagged": _tagged,
    "json": _json,
    # MEDFACT-R1's public code, for comparison only: one match; nested and empty tags pass
    "tagged_public": lambda response: bool(_PUBLIC.fullmatch(response.text)),
}


def format_reward(response: Response, sample: Sample, form: str = "boxed") -> float:
    """1.0 if the response has the form, else 0.0.

    Forms: boxed (VRFT-Aug), json (its localisation), tagged (MEDFACT-R1), tagged_public (MEDFACT-R1's public
    code).

    >>> from medical_rl.parsing.response import parse
    >>> format_reward(parse("<think>round</think> \\\\boxed{disc}"), None)
    1.0
    >>> format_reward(parse("\\\\boxed{disc}"), None)
    0.0
    """
    check_known("form", form, FORMS)
    if form == "json" and sample is not None and sample.kind == "box" and read(response, sample) is None:
        return 0.0  # JSON without a box: {}, [[]], {"bbox": null}
    return float(FORMS[form](response))


format_reward.maximum = 1.0
