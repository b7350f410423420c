"""Failed reward terms: kept with their reasons, counted, and too many of them end the run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from medical_rl.errors import BudgetMet, RewardFailed
from medical_rl.sample import Sample

BUDGET = (
    "BudgetMet"  # the class of judges.client's failure: named, not imported, so that mixes without a judge stay light
)


class FailureLog:
    """Lines {"time", "term", "id", "kind", "reason"} in one file that all reward workers of a run append to."""

    def __init__(self, path: Path):
        self.path = Path(path)

    @classmethod
    def of_run(cls, run_dir: str | Path) -> FailureLog:
        """The log of a run folder: logs/reward_failures.jsonl."""
        return cls(Path(run_dir) / "logs" / "reward_failures.jsonl")

    def add(self, term: str, sample: Sample, error: RewardFailed) -> None:
        """None; appends one line in one write, so that lines of several processes do not mix."""
        record = {"time": round(time.time(), 3), "term": term, "id": sample.id, "kind": type(error).__name__}
        line = json.dumps(record | {"reason": str(error)[:500]}, ensure_ascii=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def last(self, term: str) -> dict:
        """The newest record of a term, {} where there is none."""
        if not self.path.exists():
            return {}
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - 200_000))
            lines = file.read().decode(errors="replace").splitlines()
        for line in reversed(lines):
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the first line may be cut by the seek
            if record.get("term") == term:
                return record
        return {}


class TooManyFailures(RuntimeError):
    """A step in which more rewards failed than the mix allows, or the judge's budget was met: the run stops and can be resumed."""


def refuse_failures(mix, results: Sequence[Mapping[str, float]], log: FailureLog, judge: Mapping | None = None) -> None:
    """None; TooManyFailures, with the newest reason, if a term failed in more than `mix.max_failure_rate` of `results`.

    A met budget stops the run at once where conf.judge.on_met is `pause`; where it is `continue` the
    run goes on without the term, and those failures are not held against the rate.
    """
    for name in mix.terms:
        rate = sum(r[f"{name}/failed"] for r in results) / max(len(results), 1)
        if not rate:
            continue
        last = log.last(name)
        if last.get("kind") == BudgetMet.__name__:
            if (judge or {}).get("on_met", "pause") == "continue":
                continue
            raise TooManyFailures(
                f"The run pauses: {last['reason']} Raise conf.judge.budget and give the same command again to go on from the last "
                "saved step, or choose conf.judge.on_met=continue to go on without the term."
            )
        if rate > mix.max_failure_rate:
            raise TooManyFailures(
                f"The reward term {name} failed for {rate:.0%} of this step's samples, more than conf.rewards.max_failure_rate="
                f"{mix.max_failure_rate:g} allows. The last reason: {last.get('reason', 'none was recorded')} "
                f"All are in {log.path}. The same command resumes from the last saved step."
            )
