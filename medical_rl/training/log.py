"""What a training process of our own says of each step: lines of metrics.jsonl and of its log."""

import json
import os
import time
from collections.abc import Mapping

from medical_rl.run.processes import METRICS, STAGE


def log_step(
    metrics: str | None, stage: str, group: str, name: str, step: int, values: Mapping[str, float]
) -> None:
    """Write a step's numbers as a line of metrics.jsonl and one of the log.

    metrics      the file; None takes the MEDICAL_RL_METRICS variable, and writes none where that is not set
    stage        what the stage is called where MEDICAL_RL_STAGE does not say
    group, name  the numbers are called <group>/<name>/<number>; loss and lr are train/... too, what the
                 progress bar shows of any stage
    """
    record = {"stage": os.environ.get(STAGE, stage), "step": step, "time": round(time.time(), 3)}
    parts = []
    for number, value in values.items():
        record[f"{group}/{name}/{number}"] = value
        parts.append(f"{number} {value:.4g}")
    for number in ("loss", "lr"):
        if number in values:
            record[f"train/{number}"] = values[number]
    path = metrics or os.environ.get(METRICS)
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    print(f"{name} step {step}: {', '.join(parts)}", flush=True)
