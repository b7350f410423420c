"""verl's Tracking, plus metrics.jsonl of the run folder: one line a step, appended, never truncated.

verl's own `file` logger starts its file anew at every resume; ours replaces it. A step that is
run again after a resume appears twice, and the later line counts (progress.read_metrics).
"""

import json
import numbers
import os
import time

from verl.utils.tracking import Tracking

from medical_rl.run.processes import METRICS, STAGE


class RunTracking(Tracking):
    """Tracking that also appends {"stage", "step", "time", metric: number, ...} to $MEDICAL_RL_METRICS."""

    def __init__(self, project_name, experiment_name, default_backend="console", config=None):
        backends = [default_backend] if isinstance(default_backend, str) else list(default_backend)
        self._path = None
        if "file" in backends:
            backends.remove("file")
            self._path = os.environ.get(METRICS)
        super().__init__(project_name, experiment_name, backends, config)

    def log(self, data, step, backend=None):
        """Log `data` to every backend and to metrics.jsonl."""
        super().log(data, step, backend)
        if not self._path:
            return
        record = {"stage": os.environ.get(STAGE, ""), "step": int(step), "time": round(time.time(), 3)}
        for name, value in data.items():
            if isinstance(value, numbers.Number):
                record[name] = float(value)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
