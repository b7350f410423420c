"""Boxes in an answer's text: JSON lists, objects with corners or one key, pairs of points, bare numbers."""

import json
import math
import re
from collections.abc import Sequence

from medical_rl.parsing.text import clean, spaced, visible

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_SEPARATOR = r"(?:\s*,\s*|\s+)"
_FOUR = _SEPARATOR.join([f"({_NUMBER})"] * 4)
_KEYS = frozenset([
    "bbox_2d", "bbox", "bbox2d", "box", "boxes", "bboxes", "bounding_box", "bounding_boxes",
    "coordinates", "coordinate", "coords",
])  # fmt: skip
# four numbers under one of these are no box
_OTHER_KEYS = frozenset([
    "size", "shape", "image_size", "color", "colour", "rgba", "confidence", "scores", "point", "points",
    "padding",
])  # fmt: skip
_KEY = r"[\"'](?P<key>\w[\w -]{0,40})[\"']\s*:\s*"
_LIST = rf"(?:{_KEY})?[\[(]\s*{_FOUR}\s*[\])]"
_QUOTED = rf"{_KEY.replace('key', 'key2')}[\"']\s*{_FOUR}\s*[\"']"
_POINT = rf"\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)"
_POINT_LIST = _POINT.replace(r"\(\s*", r"\[\s*").replace(r"\s*\)", r"\s*\]")
_CORNERS = (["x1", "y1", "x2", "y2"], ["xmin", "ymin", "xmax", "ymax"])
_NAME, _IS = r"\b(?:x1|y1|x2|y2|x_?min|y_?min|x_?max|y_?max)", r"[\"']?\s*[:=]\s*"
_CORNER = re.compile(rf"({_NAME}){_IS}({_NUMBER})(?![\w.])", re.IGNORECASE)
_ONE = rf"{_NAME}{_IS}{_NUMBER}(?![\w.])"
# an object, or a run of named corners in prose ("x1=3, y1=4, x2=9, y2=8")
_NAMED = rf"(?P<named>\{{(?=[^{{}}\[\]]*{_NAME})[^{{}}\[\]]*\}}|{_ONE}(?:[\s,;]*(?:and\s+)?{_ONE}){{3}})"
_TWO_LISTS = rf"\[\s*{_POINT_LIST}\s*,\s*{_POINT_LIST}\s*\]"
_BOX = re.compile(
    rf"{_LIST}|{_QUOTED}|{_TWO_LISTS}|{_POINT}\s*(?:,|;|to|and|-)?\s*{_POINT}|{_NAMED}", re.IGNORECASE
)
_BARE = re.compile(rf"{_FOUR}|{_POINT_LIST}\s*,?\s*{_POINT_LIST}")


def box(text: str, choices: Sequence[str] = (), question: str = "") -> str | None:
    """JSON of a list of [x1, y1, x2, y2], in the order given; None without a box of finite numbers.

    A list stands alone, under a key that says box, or under any one key ({"lesion": [...]}).
    """
    plain = spaced(visible(text)).replace("\u2212", "-")
    boxes, by_key = [], {}
    for match in _BOX.finditer(plain):
        numbers, key = _numbers(match), (match["key"] or match["key2"] or "").lower()
        if len(numbers) == 4 and all(map(math.isfinite, numbers)):
            if not key or key.replace(" ", "_") in _KEYS:
                boxes.append(numbers)
            elif key not in _OTHER_KEYS:
                by_key.setdefault(key, []).append(numbers)
    if not boxes and len(by_key) == 1:
        (boxes,) = by_key.values()
    bare = _BARE.fullmatch(clean(text))
    if not boxes and bare:
        numbers = list(map(float, filter(None, bare.groups())))
        boxes = [numbers] if all(map(math.isfinite, numbers)) else []
    return json.dumps(boxes) if boxes else None


def _numbers(match: re.Match) -> list[float]:
    """The numbers of one match: of its list, quoted text or points, or its named corners; [] for none."""
    if match["named"] is None:
        texts = [text for name, text in enumerate(match.groups(), 1) if text and name not in _KEY_GROUPS]
        return list(map(float, texts))
    values = {}
    for name, value in _CORNER.findall(match["named"]):
        values[name.lower().replace("_", "")] = float(value)
    for corners in _CORNERS:
        if set(corners) <= set(values):
            return [values[name] for name in corners]
    return []


_KEY_GROUPS = (_BOX.groupindex["key"], _BOX.groupindex["key2"])
