"""The scored answers of a run: which file holds those of which model on which data, and what is in it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from medical_rl.errors import UserError
from medical_rl.evaluation.metrics import Record
from medical_rl.evaluation.wording import LABELS

_STAGE = re.compile(r"(?:round_(\d+)[/.])?(\w+)")


def stem(name: str, round: int | None = None) -> str:
    """What the files of a model begin with; one that is none of the run's has no stage's name, and another for each id.

    >>> stem("rl"), stem("rl", 2), stem("Qwen/Qwen2-VL-7B-Instruct")
    ('rl', 'round_2.rl', 'model.Qwen--Qwen2-VL-7B-Instruct.c83bd5')
    """
    if name in LABELS:
        return name if round is None else f"round_{round}.{name}"
    plain = re.sub(r"[^\w.-]+", "--", name).strip("-.")[-80:]
    return f"model.{plain}.{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def asked_stem(model: str) -> str:
    """The stem of a model as a person names it: rl, round_2/rl, or the id that the results show.

    >>> asked_stem("round_2/rl"), asked_stem("base"), asked_stem("a/b") == stem("a/b")
    ('round_2.rl', 'base', True)
    """
    match = _STAGE.fullmatch(model)
    if match and match[2] in LABELS:
        return stem(match[2], int(match[1]) if match[1] else None)
    return stem(model)


def answered(run: Path, data: str | None = None) -> list[str]:
    """The stems of the models that have predictions on the run's own test rows, or on the further set `data`, by name."""
    left = (".responses", ".option_scores")
    return sorted(
        p.stem for p in (run / "predictions" / (data or "")).glob("*.jsonl") if not p.stem.endswith(left)
    )


def read_predictions(run: Path, model: str, data: str | None = None) -> list[Record]:
    """The records of `model` on the run's own test rows, or on the further set `data`; UserError where there are none."""
    folder = run / "predictions" / (data or "")
    path = folder / f"{model if model in answered(run, data) else asked_stem(model)}.jsonl"
    if not path.is_file():
        raise UserError(
            f"There are no predictions of {model!r} in {folder}. Available: {', '.join(answered(run, data)) or 'none'}. "
            "They are written by the stage evaluate."
        )
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise UserError(
            f"{path} cannot be read as JSON lines ({error}). Run the stage evaluate again."
        ) from error
