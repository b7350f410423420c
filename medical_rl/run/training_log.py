"""What our own training processes (R_phi, preference alignment) share: the check of a request's fields, its identity, their log."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Collection, Mapping
from typing import Any

from medical_rl.errors import unknown
from medical_rl.run.processes import METRICS, STAGE


def fields_of(kind: type, settings: Mapping[str, Any], what: str) -> dict[str, Any]:
    """`settings` as a dict; UserError for one that the dataclass `kind` has not, a setting of `what`."""
    names = [field.name for field in dataclasses.fields(kind)]
    for name in settings:
        if name not in names:
            raise unknown(f"setting of {what} named", name, names)
    return dict(settings)


def identity_of(request: Any, left_out: Collection[str], **content: str) -> str:
    """A hash of a request's fields but those `left_out`, `content` taking the place of what a path stands for."""
    decisive = {
        name: value for name, value in dataclasses.asdict(request).items() if name not in left_out
    } | content
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def log_step(
    metrics: str | None, stage: str, group: str, name: str, step: int, told: Mapping[str, float]
) -> None:
    """None; a step's numbers as a line of metrics.jsonl and one of the log.

    metrics      the file; None takes the MEDICAL_RL_METRICS variable, and writes none where that is not set
    stage        what the stage is called where MEDICAL_RL_STAGE does not say
    group, name  the numbers are called <group>/<name>/<number>; loss and lr are train/... too, what the progress bar shows of any stage
    """
    record = {"stage": os.environ.get(STAGE, stage), "step": step, "time": round(time.time(), 3)}
    record |= {f"{group}/{name}/{number}": value for number, value in told.items()}
    record |= {f"train/{number}": told[number] for number in ("loss", "lr") if number in told}
    if path := metrics or os.environ.get(METRICS):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    print(
        f"{name} step {step}: " + ", ".join(f"{number} {value:.4g}" for number, value in told.items()),
        flush=True,
    )
