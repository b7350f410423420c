"""Failed reward terms: kept with their reasons, counted, and too many of them end the run."""

import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from medical_rl.errors import RewardFailed
from medical_rl.sample import Sample


class FailureLog:
    """Lines {"time", "term", "id", "kind", "reason"} in one file, appended to by all reward workers."""

    def __init__(self, path: Path):
        self.path = Path(path)

    @classmethod
    def of_run(cls, run_dir: str | Path) -> "FailureLog":
        """The log of a run folder: logs/reward_failures.jsonl."""
        return cls(Path(run_dir) / "logs" / "reward_failures.jsonl")

    def add(self, term: str, sample: Sample, error: RewardFailed) -> None:
        """Append one line in one write, so that lines of several processes do not mix."""
        record = {"time": round(time.time(), 3), "term": term, "id": sample.id, "kind": type(error).__name__}
        line = json.dumps(record | {"reason": str(error)[:500]}, ensure_ascii=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab", buffering=0) as file:
            file.write(line.encode())

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
    """More rewards failed than the mix allows, or the judge's budget was met: the run stops, resumable."""


class FailureMonitor:
    """Looks at each step's results and stops the run where a term failed for too large a share of samples.

    The share is taken over the last steps of at least WINDOW samples, so that one garbled judgement does not
    end a run of small steps. Where the judge's budget was met, the run pauses at once, or (`on_budget`
    "continue") goes on without the term, and those failures do not count.
    """

    WINDOW = 32

    def __init__(self, mix, log: FailureLog, on_budget: str = "pause"):
        self.mix, self.log, self.on_budget = mix, log, on_budget
        self.flags: dict[str, deque[float]] = {name: deque() for name in mix.terms}

    def check(self, results: Sequence[Mapping[str, float]]) -> None:
        """Raise TooManyFailures, with the newest reason, where the run must stop."""
        for name, flags in self.flags.items():
            counted = [r[f"{name}/failed"] for r in results if not r.get(f"{name}/budget")]
            if len(counted) < len(results):
                self._pause(name)
            flags.extend(counted)
            while len(flags) > max(self.WINDOW, len(counted)):
                flags.popleft()
            if sum(flags) / max(len(flags), self.WINDOW) > self.mix.max_failure_rate:
                self._stop(name, sum(flags) / len(flags), "of the last samples")

    def check_validation(self, metrics: Mapping[str, float]) -> None:
        """The same check for a validation, of which verl gives means alone."""

        def highest(name: str) -> float:
            return max((value for key, value in metrics.items() if f"/{name}/mean@" in key), default=0.0)

        for name in self.mix.terms:
            rate, budget = highest(f"{name}/failed"), highest(f"{name}/budget")
            if budget:
                self._pause(name)
                rate -= budget
            if rate > self.mix.max_failure_rate:
                self._stop(name, rate, "of the validation's samples")

    def _pause(self, name: str) -> None:
        """Stop the run for a budget that is met, unless it goes on without the term."""
        if self.on_budget != "pause":
            return
        reason = self.log.last(name).get("reason", "the judge's budget is met.")
        raise TooManyFailures(
            f"The run pauses: {reason} Raise conf.judge.budget and give the same command again to go on "
            "from the last saved step, or choose conf.judge.on_budget=continue to go on without the term."
        )

    def _stop(self, name: str, rate: float, of_what: str) -> None:
        reason = self.log.last(name).get("reason", "none was recorded")
        raise TooManyFailures(
            f"The reward term {name} failed for {rate:.0%} {of_what}, more than "
            f"conf.rewards.max_failure_rate={self.mix.max_failure_rate:g} allows. The last reason: {reason} "
            f"All are in {self.log.path}. The same command resumes from the last saved step."
        )
