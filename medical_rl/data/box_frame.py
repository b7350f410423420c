"""Boxes in the frame that a prompt asks for, and back in pixels of the original image (see `medical_rl.boxes`)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from medical_rl.boxes import FRAMES, from_original, to_original
from medical_rl.errors import UserError, unknown
from medical_rl.parsing.response import gold
from medical_rl.sample import Sample


def in_frame(sample: Sample, prompt_cfg: Mapping) -> Sample:
    """`sample` with its gold boxes in the whole numbers that the prompt asks for: `prompt_cfg["frame"]` of `frames.FRAMES`.

    >>> s = Sample(id="1", source="demo", question="?", kind="box", answer="[10, 0, 20, 5]", size=(10, 20))
    >>> in_frame(s, {"frame": "relative"}).answer
    '[500, 0, 1000, 500]'
    """
    if (
        sample.kind != "box"
        or prompt_cfg.get("frame") in (None, "original")
        or (truth := gold(sample)) is None
    ):
        return sample
    settings = _frame(sample, prompt_cfg)
    boxes = [[round(v) for v in from_original(box, sample.size, **settings)] for box in json.loads(truth)]
    return dataclasses.replace(sample, answer=json.dumps(boxes if len(boxes) > 1 else boxes[0]))


def in_pixels(answer: str | None, sample: Sample, prompt_cfg: Mapping) -> str | None:
    """An answer as `answers.read` gave it, its boxes in pixels of the original image; any other answer as it stands.

    >>> s = Sample(id="1", source="demo", question="?", kind="box", answer="[10, 0, 20, 5]", size=(10, 20))
    >>> in_pixels("[[500.0, 0.0, 1000.0, 500.0]]", s, {"frame": "relative"})
    '[[10.0, 0.0, 20.0, 5.0]]'
    """
    if answer is None or sample.kind != "box" or prompt_cfg.get("frame") in (None, "original"):
        return answer
    settings = _frame(sample, prompt_cfg)
    return json.dumps([to_original(box, sample.size, **settings) for box in json.loads(answer)])


def _frame(sample: Sample, prompt_cfg: Mapping) -> dict:
    """{"frame", "min_pixels", "max_pixels"}; UserError for an unknown frame, or a row without the size that it needs."""
    frame = prompt_cfg["frame"]
    if frame not in FRAMES:
        raise unknown("frame of boxes", str(frame), FRAMES)
    if sample.size is None:
        raise UserError(
            f"The prompt asks for boxes in the frame {frame!r}, and the row {sample.id!r} has no size."
        )
    limits = {name: int(prompt_cfg[name]) for name in ("min_pixels", "max_pixels") if prompt_cfg.get(name)}
    return {"frame": frame, **limits}
