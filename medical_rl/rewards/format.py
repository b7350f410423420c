"""Format: whether the response has the asked structure, whatever it says."""

import re

from medical_rl.answers import Response
from medical_rl.errors import unknown
from medical_rl.sample import Sample

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_BOXED = re.compile(r"\s*<think>(.*?)</think>\s*(.*)", re.DOTALL)
_TAGGED = re.compile(r"\s*<think>.*?</think>\s*<answer>.*?</answer>\s*", re.DOTALL)


def _boxed(response: Response) -> bool:
    """One thought first, then one boxed answer outside it (VRFT-Aug, classification)."""
    match = _BOXED.fullmatch(response.text)
    one_thought = response.text.count("<think>") == 1 and response.text.count("</think>") == 1
    return bool(match and one_thought and match[1].strip() and match[2].count("\\boxed") == 1 and response.boxed)


def _tagged(response: Response) -> bool:
    """Each of the four tags exactly once, in order, nothing outside them, nothing empty (MEDFACT-R1)."""
    once = all(response.text.count(tag) == 1 for tag in TAGS)
    return bool(once and _TAGGED.fullmatch(response.text) and response.thought and response.tagged)


FORMS = {"boxed": _boxed, "tagged": _tagged}


def format_reward(response: Response, sample: Sample, form: str = "boxed") -> float:
    """1.0 if the response has the form, else 0.0. Forms: boxed (VRFT-Aug), tagged (MEDFACT-R1).

    >>> from medical_rl.answers import parse
    >>> format_reward(parse("<think>round</think> \\\\boxed{disc}"), None)
    1.0
    >>> format_reward(parse("\\\\boxed{disc}"), None)
    0.0
    """
    if form not in FORMS:
        raise unknown("form", form, FORMS)
    return float(FORMS[form](response))
