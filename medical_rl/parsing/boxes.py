"""Boxes in an answer's text: JSON, objects with corners, pairs of points, bare numbers."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Sequence

from medical_rl.parsing.text import clean, visible

_N = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_SEP = r"(?:\s*,\s*|\s+)"
_FOUR = rf"({_N}){_SEP}({_N}){_SEP}({_N}){_SEP}({_N})"
_KEYS = frozenset(["bbox_2d", "bbox", "box", "boxes", "bboxes", "bbox2d", "bounding_box"])
_LIST = rf"(?:[\"'](?P<key>\w+)[\"']\s*:\s*)?[\[(]\s*{_FOUR}\s*[\])]"
_POINTS = rf"\(\s*({_N})\s*,\s*({_N})\s*\)\s*,?\s*\(\s*({_N})\s*,\s*({_N})\s*\)"


_CORNERS = (["x1", "y1", "x2", "y2"], ["xmin", "ymin", "xmax", "ymax"])
_NAME, _IS = r"\b(?:x1|y1|x2|y2|x_?min|y_?min|x_?max|y_?max)", r"[\"']?\s*[:=]\s*"
_CORNER = re.compile(rf"({_NAME}){_IS}({_N})(?![\w.])", re.IGNORECASE)
_ONE = rf"{_NAME}{_IS}{_N}(?![\w.])"
# an object, or a run of named corners in prose ("x1=3, y1=4, x2=9, y2=8")
_NAMED = rf"(?P<named>\{{[^{{}}\[\]]*\}}|{_ONE}(?:[\s,;]*(?:and\s+)?{_ONE}){{3}})"
_ANY = re.compile("|".join((_LIST, _POINTS, _NAMED)), re.IGNORECASE)
_BARE = re.compile(_FOUR)


def box(text: str, choices: Sequence[str] = ()) -> str | None:
    """JSON of a list of [x1, y1, x2, y2], in the order given; None where there is no whole box of finite numbers."""
    plain = unicodedata.normalize("NFKC", visible(text)).replace("\u2212", "-")
    found = [numbers for match in _ANY.finditer(plain) if (numbers := _numbers(match)) is not None]
    if not found and (bare := _BARE.fullmatch(clean(text))):
        numbers = [float(v) for v in bare.groups()]
        found = [numbers] if all(map(math.isfinite, numbers)) else []
    return json.dumps(found) if found else None


def _numbers(match: re.Match) -> list[float] | None:
    """[x1, y1, x2, y2] of one match, None where it is no box: another key's list, corners missing, not finite."""
    if match["named"] is not None:
        given = {
            name.lower().replace("_", ""): float(value) for name, value in _CORNER.findall(match["named"])
        }
        corners = next((c for c in _CORNERS if set(c) <= set(given)), None)
        numbers = [given[name] for name in corners] if corners else []
    else:
        known = match["key"] is None or match["key"].lower() in _KEYS
        skipped = {match.re.groupindex["key"], match.re.groupindex["named"]}
        numbers = [
            float(v) for i, v in enumerate(match.groups(), 1) if known and v is not None and i not in skipped
        ]
    return numbers if len(numbers) == 4 and all(map(math.isfinite, numbers)) else None
